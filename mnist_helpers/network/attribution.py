"""What a network looks at when it decides: captum's methods, brought to one form.

What is taken away is replaced by the darkest value of the image, in MNIST the background; what is
negative speaks against the class. Integrated gradients ask a large network at 8 points of the way
from there, others at 32. The windows of occlusion are of 5 × 5 pixels in MNIST, and grow with the
image.

Sources: saliency, Simonyan et al., 2013; integrated gradients, Sundararajan et al., 2017;
occlusion, Zeiler and Fergus, 2014; Grad-CAM on the last convolution, Selvaraju et al., 2017.
"""

from collections.abc import Generator

import numpy as np
from torch import Tensor

from mnist_helpers.network.tracing import Arrays, Network

METHODS = ("saliency", "Grad-CAM", "integrated gradients", "occlusion")


def attributions(network: Network, image: Tensor, target: int) -> Generator[float, None, Arrays]:
    """How much each pixel of `image` (C, H, W) counts for class `target`; yields the fraction done.

    What they explain is the logarithm of its probability: softmax sees differences of logits only.
    The maps (H, W) share the scale from -1 to 1. Saliency and Grad-CAM can't be negative.
    """
    from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam, Occlusion, Saliency

    black = image.min().item()
    last = network.modules[network.convolutions[-1]]

    def decide(images: Tensor) -> Tensor:
        return network.run(images, network.decider).log_softmax(dim=1)

    batch = image[None].to(network.device).requires_grad_()
    strides = [max(2, side // 6 - 2) for side in image.shape[1:]]
    coarse = LayerGradCam(decide, last).attribute(batch, target, relu_attributions=True)
    grad_cam = LayerAttribution.interpolate(coarse, image.shape[1:], "bilinear")
    saliency = Saliency(decide).attribute(batch, target)
    yield 0.1
    points = 32
    if network.is_large:
        points = 8
    integrated = IntegratedGradients(decide).attribute(
        batch, black, target, n_steps=points, internal_batch_size=network.batch_size
    )
    yield 0.4
    occlusion = Occlusion(decide).attribute(
        batch,
        (len(image), *(2 * stride + 1 for stride in strides)),
        (len(image), *strides),
        black,
        target,
        perturbations_per_eval=min(64, 4 * network.batch_size),
    )
    yield 1.0
    results = (saliency, grad_cam, integrated, occlusion)
    return dict(zip(METHODS, map(on_one_scale, results), strict=True))


def on_one_scale(result: Tensor) -> np.ndarray:
    """What a method gives (1, C, H, W) as one map, divided by its largest absolute value."""
    values = result.detach().cpu()[0].sum(dim=0).numpy()
    return values / (np.abs(values).max() or 1)
