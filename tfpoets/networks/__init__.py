"""Networks to train from scratch: those that come with tfpoets, those of the user, and their base class."""
from typing import TYPE_CHECKING

from tfpoets.lazy_names import lazy_names

if TYPE_CHECKING:
    from .build import ARCHITECTURES, CONVNETS, RESNET, build_network, check_network_options
    from .casting_cnn import CastingCNN
    from .cifar_cnn import CifarCNN
    from .image_classifier import ImageClassifier
    from .lenet import LeNet
    from .own_networks import is_own_network
    from .resnet50_v2 import ResNet50V2
    from .small_cnn import SmallCNN

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    ".build": "ARCHITECTURES CONVNETS RESNET build_network check_network_options",
    ".casting_cnn": "CastingCNN",
    ".cifar_cnn": "CifarCNN",
    ".image_classifier": "ImageClassifier",
    ".lenet": "LeNet",
    ".own_networks": "is_own_network",
    ".resnet50_v2": "ResNet50V2",
    ".small_cnn": "SmallCNN",
})
