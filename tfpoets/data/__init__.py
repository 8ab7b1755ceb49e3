"""Read, split, decode and augment photos."""
from .augmentation import DEFAULT_AUGMENTATION, AugmentationOptions, augment_pixels, augment_tensor
from .dataset import Dataset, Examples, Photo, photo_digest, with_test_photos
from .decode import (PIXELS_VERSION, has_plain_pixels, load_full_size, load_photos, load_pixels, load_pixels_at_sizes,
                     network_input)
from .decode_tensorflow import decode_tensor
from .folds import assign_folds
from .formats import has_photo_signature, suffixes_for
from .hashing import hash_photos, with_readable_photos
from .input_sources import expand_sources, is_url, read_source
from .legacy_decode import LEGACY_PIXELS_VERSION, load_legacy_pixels, resize_bilinear
from .local_files import FileReader, LocalFiles
from .measures import Measure
from .near_duplicates import (HASH_BYTES, HASH_HEIGHT, HASH_WIDTH, connected_groups, hamming_distances,
                              near_duplicate_pairs, perceptual_hash)
from .photo_files import PhotoHeader, read_photo_header
from .sources import PHOTO_SOURCES, read_dataset
from .split import (PARTS, TEST, TRAINING, VALIDATION, Split, SplitOptions, check_class_sizes, reserved_for_test,
                    split_photos)
from .stored_pixels import store_pixels

__all__ = ["DEFAULT_AUGMENTATION", "HASH_BYTES", "HASH_HEIGHT", "HASH_WIDTH", "LEGACY_PIXELS_VERSION", "PARTS",
           "PHOTO_SOURCES", "PIXELS_VERSION", "TEST", "TRAINING", "VALIDATION", "AugmentationOptions", "Dataset",
           "Examples", "FileReader", "LocalFiles", "Measure", "Photo", "PhotoHeader", "Split", "SplitOptions",
           "assign_folds", "augment_pixels", "augment_tensor", "check_class_sizes", "connected_groups",
           "decode_tensor", "expand_sources", "hamming_distances", "has_photo_signature", "has_plain_pixels",
           "hash_photos", "is_url", "load_full_size", "load_legacy_pixels", "load_photos", "load_pixels",
           "load_pixels_at_sizes", "near_duplicate_pairs", "network_input", "perceptual_hash", "photo_digest",
           "read_dataset", "read_photo_header", "read_source", "reserved_for_test", "resize_bilinear", "split_photos",
           "store_pixels", "suffixes_for", "with_readable_photos", "with_test_photos"]
