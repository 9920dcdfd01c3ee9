"""What a network looks at when it decides: captum's methods, brought to one form."""

import warnings

import numpy as np
from torch import Tensor

from mnist_helpers.features import Network

METHODS = ("saliency", "integrated gradients", "occlusion", "Grad-CAM")


def attributions(network: Network, image: Tensor, target: int) -> dict[str, np.ndarray]:
    """How much each pixel of `image` (C, H, W) counts for class `target`, by four methods.

    What they explain is the logarithm of its probability: softmax sees differences of logits only.

    Each map (H, W) is divided by its largest absolute value, so that all share the scale from -1 to 1. Saliency and
    Grad-CAM can't be negative; the other two are where a pixel speaks against the class. What is taken away is
    replaced by the darkest value of the image, in MNIST the background.

    Sources: saliency, Simonyan et al., 2013; integrated gradients, Sundararajan et al., 2017; occlusion in windows of
    5 × 5, Zeiler and Fergus, 2014; Grad-CAM on the last convolution, Selvaraju et al., 2017.
    """
    from captum.attr import (
        IntegratedGradients,
        LayerAttribution,
        LayerGradCam,
        Occlusion,
        Saliency,
    )  # slow to import

    black = image.min().item()

    def decide(images: Tensor) -> Tensor:
        return network.model(images).log_softmax(dim=1)

    batch = image[None].to(network.device).requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum tells that it turns gradients on
        last = LayerGradCam(decide, network.module(network.convolutions[-1]))
        coarse = last.attribute(batch, target=target, relu_attributions=True)
        found = (
            Saliency(decide).attribute(batch, target=target),
            IntegratedGradients(decide).attribute(
                batch, baselines=black, target=target, n_steps=32
            ),
            Occlusion(decide).attribute(
                batch,
                (len(image), 5, 5),
                (len(image), 2, 2),
                black,
                target=target,
                perturbations_per_eval=64,
            ),
            LayerAttribution.interpolate(coarse, image.shape[1:], "bilinear"),
        )
    maps = (each.detach().cpu()[0].sum(dim=0).numpy() for each in found)
    return {
        name: each / (np.abs(each).max() or 1) for name, each in zip(METHODS, maps, strict=True)
    }
