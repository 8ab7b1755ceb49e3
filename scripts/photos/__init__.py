"""The photos room: what is on disk, which part each photo plays, and its pixels."""
from .distortions import distort_pixels
from .duplicates import (LOOK_BYTES, LOOK_HEIGHT, LOOK_WIDTH, look_distances, near_duplicate_pairs, photo_look)
from .folds import fold_photos
from .identity import identify_photos
from .pixels import (PIXELS_VERSION, PhotoError, PhotoHeader, decoded_size, is_plain, load_photo, load_photos,
                     load_pixels, load_sizes, network_input, photo_header, read_photo)
from .poets_pixels import POETS_PIXELS_VERSION, load_poets_pixels, resize_bilinear
from .sources import expand_sources, is_address, read_source
from .split import PARTS, TEST, TRAINING, VALIDATION, Split, check_class_sizes, split_photos, split_with_test_photos
from .stored_pixels import store_pixels
from .tree import Photo, PhotoTree, photo_digest, read_tree, with_test_folder

__all__ = ["LOOK_BYTES", "LOOK_HEIGHT", "LOOK_WIDTH", "PARTS", "PIXELS_VERSION", "POETS_PIXELS_VERSION",
           "Photo", "PhotoError", "PhotoHeader", "PhotoTree", "Split", "TEST", "TRAINING", "VALIDATION",
           "check_class_sizes", "decoded_size", "distort_pixels", "expand_sources", "fold_photos", "identify_photos",
           "is_address", "is_plain", "load_photo", "load_photos", "load_pixels", "load_poets_pixels", "load_sizes",
           "look_distances", "near_duplicate_pairs", "network_input", "photo_digest", "photo_header", "photo_look",
           "read_photo", "read_source", "read_tree", "resize_bilinear", "split_photos", "split_with_test_photos",
           "store_pixels", "with_test_folder"]
