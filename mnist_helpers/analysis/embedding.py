"""Where images lie to a network: its features in two dimensions."""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor

STEPS = 250  # of t-SNE at a time, the fewest that scikit-learn takes
ROUNDS = 3


def principal(features: Tensor) -> np.ndarray:
    """The two directions in which `features` (N, F) differ most, (N, 2)."""
    return PCA(2, random_state=0).fit_transform(features.numpy())


def replayed(moments: Sequence[Tensor]) -> list[np.ndarray]:
    """Features (N, F) at several moments, around their mean, (N, 2) in [0, 1].

    The axes are the two directions in which the last features differ most, the frame is that of the
    last points; what lies outside is put at its edge.
    """
    # no random solver in single precision: its points differ with the number of threads
    moments = [features.double() for features in moments]
    axes = PCA(2, svd_solver="covariance_eigh").fit(moments[-1].numpy()).components_
    points = [(features - features.mean(dim=0)).numpy() @ axes.T for features in moments]
    low, high = points[-1].min(axis=0), points[-1].max(axis=0)
    return [((each - low) / np.maximum(high - low, 1e-9)).clip(0, 1) for each in points]


def neighbour_map(features: Tensor) -> Generator[float, None, np.ndarray]:
    """Features (N, F) in two dimensions, neighbours kept together, (N, 2), by t-SNE.

    Van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 9, 2008. Yields the fraction
    done, and works in a thread meanwhile.
    """
    points, made = principal(features), {"random_state": 0, "max_iter": STEPS}
    points *= 1e-4 / points[:, 0].std()  # as scikit-learn begins
    made["perplexity"] = min(30.0, (len(points) - 1) / 3)
    with ThreadPoolExecutor(1) as pool:
        for done in range(ROUNDS):
            tsne = TSNE(init=points, **made)
            work = pool.submit(tsne.fit_transform, features.numpy())
            while not work.done():
                yield done / ROUNDS
                sleep(0.02)
            points = work.result()
            made["early_exaggeration"] = 1.0  # only the first round begins anew
    return points
