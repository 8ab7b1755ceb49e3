"""Photos on disk: datasets, splits, decoding, augmentation."""
from .augmentation import DEFAULT_AUGMENTATION, AugmentationOptions, augment_pixels, augment_tensor
from .dataset import Dataset, Examples, Photo, photo_digest, with_test_photos
from .decode import (PIXELS_VERSION, PhotoHeader, has_plain_pixels, load_photo, load_photos, load_pixels, load_sizes,
                     network_input, photo_header)
from .decode_tensorflow import decode_tensor
from .folds import fold_photos
from .formats import starts_like_photo, suffixes_for
from .identity import digest_photos, readable
from .legacy_decode import LEGACY_PIXELS_VERSION, load_legacy_pixels, resize_bilinear
from .measures import Measure
from .perceptual_hashes import (HASH_BYTES, HASH_HEIGHT, HASH_WIDTH, group_pairs, hamming_distances,
                                near_duplicate_pairs, perceptual_hash)
from .photo_arguments import expand_sources, is_address, read_source
from .sources import PHOTO_SOURCES, read_dataset
from .split import (PARTS, TEST, TRAINING, VALIDATION, Split, SplitOptions, check_class_sizes, reserved_for_test,
                    split_photos)
from .stored_pixels import store_pixels

__all__ = ["DEFAULT_AUGMENTATION", "HASH_BYTES", "HASH_HEIGHT", "HASH_WIDTH", "LEGACY_PIXELS_VERSION", "PARTS",
           "PHOTO_SOURCES", "PIXELS_VERSION", "TEST", "TRAINING", "VALIDATION", "AugmentationOptions", "Dataset",
           "Examples", "Measure", "Photo", "PhotoHeader", "Split", "SplitOptions", "augment_pixels", "augment_tensor",
           "check_class_sizes", "decode_tensor", "digest_photos", "expand_sources", "fold_photos", "group_pairs",
           "hamming_distances", "has_plain_pixels", "is_address", "load_legacy_pixels", "load_photo", "load_photos",
           "load_pixels", "load_sizes", "near_duplicate_pairs", "network_input", "perceptual_hash", "photo_digest",
           "photo_header", "read_dataset", "read_source", "readable", "reserved_for_test", "resize_bilinear",
           "split_photos", "starts_like_photo", "store_pixels", "suffixes_for", "with_test_photos"]
