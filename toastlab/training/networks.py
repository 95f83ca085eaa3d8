"""Networks for small images: two for teaching that train in seconds, five torchvision families.

torchvision's networks are made for 224 pixels; here their stem keeps the resolution (3 x 3, stride
1, no pooling), as is usual for 28 to 64 pixels. Weights are always drawn, never downloaded. Each
maker has the name of its network in `models.MODELS`.
"""

from torch import nn
from torchvision import models as tv
from torchvision.models.resnet import BasicBlock


def mlp(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    pixels = in_channels * image_size**2
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, num_classes),
    )


def resnet_small(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """Three stages of one basic block, 16 to 64 channels; halves the image first if it is large."""

    def stage(width_in: int, width: int) -> nn.Module:
        stride = 1 if width_in == width else 2
        shortcut = None
        if stride == 2:
            shortcut = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        return BasicBlock(width_in, width, stride, shortcut)

    stem = nn.Conv2d(in_channels, 16, 3, 2 if image_size > 16 else 1, 1, bias=False)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))
    body = (nn.BatchNorm2d(16), nn.ReLU(), stage(16, 16), stage(16, 32), stage(32, 64))
    network = nn.Sequential(stem, *body, *head)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # as torchvision starts its residual networks
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _small_resnet_stem(network: tv.ResNet, in_channels: int) -> nn.Module:
    network.conv1 = nn.Conv2d(in_channels, 64, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return network


def resnet18(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    return _small_resnet_stem(tv.resnet18(num_classes=num_classes), in_channels)


def wide_resnet50(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    return _small_resnet_stem(tv.wide_resnet50_2(num_classes=num_classes), in_channels)


def vgg16_bn(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    network = tv.vgg16_bn(num_classes=num_classes)
    network.features[0] = nn.Conv2d(in_channels, 64, 3, padding=1)
    nn.init.kaiming_normal_(network.features[0].weight, mode="fan_out", nonlinearity="relu")
    network.features[-1] = nn.Identity()  # a fifth halving would leave nothing of 28 pixels
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier = nn.Linear(512, num_classes)  # the large head is for 224 pixels
    return network


def densenet121(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    network = tv.densenet121(num_classes=num_classes)
    network.features.conv0 = nn.Conv2d(in_channels, 64, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(network.features.conv0.weight)
    network.features.pool0 = nn.Identity()
    return network


def mobilenet_v2(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    # The width, depth and stride of each stage; the published net halves the image at 24 channels.
    stages = [
        [1, 16, 1, 1],
        [6, 24, 2, 1],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ]
    network = tv.mobilenet_v2(num_classes=num_classes, inverted_residual_setting=stages)
    network.features[0][0] = nn.Conv2d(in_channels, 32, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(network.features[0][0].weight, mode="fan_out")
    return network
