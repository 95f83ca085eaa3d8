"""The networks by name: texts only, so that the help knows them before PyTorch is loaded.

Their makers are in `networks.py`.
"""

# Name -> what it is, and the smallest images it takes, in pixels.
MODELS: dict[str, tuple[str, int]] = {
    "mlp": ("teaching: two hidden layers of 256, seconds to train", 1),
    "resnet-small": ("teaching: residual, 16 to 64 channels, about a minute", 4),
    "resnet18": ("ResNet-18, small-image stem", 8),
    "vgg16-bn": ("VGG-16 with batch norm, four halvings and one linear layer", 16),
    "densenet121": ("DenseNet-121, small-image stem", 8),
    "wide-resnet50": ("WideResNet-50-2, small-image stem", 8),
    "mobilenet-v2": ("MobileNetV2, first two strides 1", 8),
}

# name -> modules behind which a stage ends, the last stage left out
EXITS: dict[str, tuple[str, ...]] = {
    "mlp": ("2",),
    "resnet-small": ("3", "4"),
    "resnet18": ("layer1", "layer2", "layer3"),
    "wide-resnet50": ("layer1", "layer2", "layer3"),
    "vgg16-bn": ("features.6", "features.13", "features.23"),
    "densenet121": ("features.transition1", "features.transition2", "features.transition3"),
    "mobilenet-v2": ("features.3", "features.6", "features.13"),
}
