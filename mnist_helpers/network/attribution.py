"""What a network looks at when it decides: captum's methods, brought to one form."""

from collections.abc import Generator

import numpy as np
from torch import Tensor

from mnist_helpers.network.tracing import Network

METHODS = ("saliency", "integrated gradients", "occlusion", "Grad-CAM")


def attributions(
    network: Network, image: Tensor, target: int
) -> Generator[float, None, dict[str, np.ndarray]]:
    """How much each pixel of `image` (C, H, W) counts for class `target`, by four methods.

    Yields the fraction done.

    What they explain is the logarithm of its probability: softmax sees differences of logits only.

    Each map (H, W) is divided by its largest absolute value, so that all share the scale from -1
    to 1. Saliency and Grad-CAM can't be negative; the other two are where a pixel speaks against
    the class. What is taken away is replaced by the darkest value of the image, in MNIST the
    background.

    A large network is asked at 8 points of the way from the darkest value, others at 32; the
    windows of an image of 28 × 28 are of 5 × 5 pixels, and grow with the image.

    Sources: saliency, Simonyan et al., 2013; integrated gradients, Sundararajan et al., 2017;
    occlusion in windows, Zeiler and Fergus, 2014; Grad-CAM on the last convolution,
    Selvaraju et al., 2017.
    """
    from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam, Occlusion, Saliency

    black = image.min().item()
    last = network.modules[network.convolutions[-1]]

    def decide(images: Tensor) -> Tensor:
        return network.answers(images).log_softmax(dim=1)

    batch = image[None].to(network.device).requires_grad_()
    size = image.shape[1:]
    coarse = LayerGradCam(decide, last).attribute(batch, target, relu_attributions=True)
    grad_cam = LayerAttribution.interpolate(coarse, size, "bilinear")
    saliency = Saliency(decide).attribute(batch, target)
    yield 0.1
    points = 32
    if network.is_large:
        points = 8
    integrated = IntegratedGradients(decide).attribute(
        batch, black, target, n_steps=points, internal_batch_size=network.batch_size
    )
    yield 0.4
    strides = [max(2, side // 6 - 2) for side in size]
    window = [2 * stride + 1 for stride in strides]
    occlusion = Occlusion(decide).attribute(
        batch,
        (len(image), *window),
        (len(image), *strides),
        black,
        target,
        perturbations_per_eval=min(64, 4 * network.batch_size),
    )
    yield 1.0
    results = (saliency, integrated, occlusion, grad_cam)
    maps = {}
    for name, result in zip(METHODS, results, strict=True):
        values = result.detach().cpu()[0].sum(dim=0).numpy()
        maps[name] = values / (np.abs(values).max() or 1)
    return maps
