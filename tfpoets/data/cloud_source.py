"""Read the photos of a folder in cloud storage, which is laid out like a local one."""
from __future__ import annotations

from .cloud_address import CloudPath, bucket_of, is_cloud_address, parse_address
from .cloud_files import CloudFiles
from .dataset import Dataset
from .folder_source import read_class_folders, read_labels_in_names
from .name_patterns import NamePattern
from .part_names import PARTS, TEST, TRAINING, part_of_value, parts_of_siblings


def is_test_address(location: str) -> bool:
    """Return whether an address is that of the test photos of a dataset with photos for training next to it."""
    if not is_cloud_address(location):
        return False
    root = parse_address(location)
    if str(root) == bucket_of(root) or part_of_value(root.name) != PARTS[TEST]:
        return False  # without a request
    parts = parts_of_siblings(CloudFiles(root.parent).list_folders(root.parent))
    return parts.get(root.name) == PARTS[TEST] and PARTS[TRAINING] in parts.values()


class CloudSource(CloudFiles):
    """A folder in cloud storage with one folder of photos per class, or whose file names contain the labels.

    Args:
        root: The address of the folder.
        pattern: The pattern of the names; None: the names of the folders are the labels.
    """

    def __init__(self, root: CloudPath, pattern: NamePattern | None = None):
        super().__init__(root)
        self._pattern = pattern

    @classmethod
    def at(cls, location: str, pattern: NamePattern | None = None) -> CloudSource | None:
        """Return a source for an address in cloud storage, or None for another location."""
        return cls(parse_address(location), pattern) if is_cloud_address(location) else None

    def dataset(self, min_classes: int = 2) -> Dataset:
        """List the photos.

        Args:
            min_classes: The minimum number of classes.

        Raises:
            DataError: The folder cannot be listed, is not laid out in this way, or has fewer classes.
        """
        tree = self.list_tree(self.root)
        if self._pattern is None:
            return read_class_folders(tree, self, min_classes)
        return read_labels_in_names(tree, self._pattern, self, min_classes)
