"""What a network looks at when it decides: captum's methods, brought to one form."""

import numpy as np
from torch import Tensor

from mnist_helpers.network.tracing import Network

METHODS = ("saliency", "integrated gradients", "occlusion", "Grad-CAM")


def attributions(network: Network, image: Tensor, target: int) -> dict[str, np.ndarray]:
    """How much each pixel of `image` (C, H, W) counts for class `target`, by four methods.

    What they explain is the logarithm of its probability: softmax sees differences of logits only.

    Each map (H, W) is divided by its largest absolute value, so that all share the scale from -1
    to 1. Saliency and Grad-CAM can't be negative; the other two are where a pixel speaks against
    the class. What is taken away is replaced by the darkest value of the image, in MNIST the
    background.

    Sources: saliency, Simonyan et al., 2013; integrated gradients, Sundararajan et al., 2017;
    occlusion in windows of 5 × 5, Zeiler and Fergus, 2014; Grad-CAM on the last convolution,
    Selvaraju et al., 2017.
    """
    from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam, Occlusion, Saliency

    black = image.min().item()
    last = network.modules[network.convolutions[-1]]

    def decide(images: Tensor) -> Tensor:
        return network.run(images)[network.answer].log_softmax(dim=1)

    batch = image[None].to(network.device).requires_grad_()
    window = (len(image), 5, 5)
    strides = (len(image), 2, 2)
    coarse = LayerGradCam(decide, last).attribute(batch, target, relu_attributions=True)
    results = (
        Saliency(decide).attribute(batch, target),
        IntegratedGradients(decide).attribute(batch, black, target, n_steps=32),
        Occlusion(decide).attribute(
            batch, window, strides, black, target, perturbations_per_eval=64
        ),
        LayerAttribution.interpolate(coarse, image.shape[1:], "bilinear"),
    )
    maps = {}
    for name, result in zip(METHODS, results, strict=True):
        values = result.detach().cpu()[0].sum(dim=0).numpy()
        maps[name] = values / (np.abs(values).max() or 1)
    return maps
