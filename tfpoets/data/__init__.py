"""Photos on disk: datasets, splits, decoding, augmentation."""
from .augmentation import USUAL_AUGMENTATION, AugmentationOptions, augment_pixels, augment_tensor
from .dataset import Dataset, Examples, Photo, photo_digest, with_test_photos
from .decode import (PIXELS_VERSION, PhotoHeader, is_plain, load_photo, load_photos, load_pixels, load_sizes,
                     network_input, photo_header)
from .decode_tensorflow import decode_tensor
from .duplicates import (HASH_BYTES, HASH_HEIGHT, HASH_WIDTH, groups_of, hamming_distances, near_duplicate_pairs,
                         perceptual_hash)
from .folds import fold_photos
from .formats import begins_like_a_photo, suffixes_of
from .identity import identify_photos, readable
from .legacy_decode import LEGACY_PIXELS_VERSION, load_legacy_pixels, resize_bilinear
from .measures import Measure
from .photo_arguments import expand_sources, is_address, read_source
from .sources import PHOTO_SOURCES, read_dataset
from .split import (PARTS, TEST, TRAINING, VALIDATION, Split, SplitOptions, check_class_sizes, kept_for_test,
                    split_photos)
from .stored_pixels import store_pixels

__all__ = ["HASH_BYTES", "HASH_HEIGHT", "HASH_WIDTH", "LEGACY_PIXELS_VERSION", "PARTS", "PHOTO_SOURCES",
           "PIXELS_VERSION", "TEST", "TRAINING", "USUAL_AUGMENTATION", "VALIDATION", "AugmentationOptions", "Dataset",
           "Examples", "Measure", "Photo", "PhotoHeader", "Split", "SplitOptions", "augment_pixels", "augment_tensor",
           "begins_like_a_photo", "check_class_sizes", "decode_tensor", "expand_sources", "fold_photos", "groups_of",
           "hamming_distances", "identify_photos", "is_address", "is_plain", "kept_for_test", "load_legacy_pixels",
           "load_photo", "load_photos", "load_pixels", "load_sizes", "near_duplicate_pairs", "network_input",
           "perceptual_hash", "photo_digest", "photo_header", "read_dataset", "read_source", "readable",
           "resize_bilinear", "split_photos", "store_pixels", "suffixes_of", "with_test_photos"]
