import numpy as np
import pytest
import torch
from torch import nn

from mnist_helpers import InputError, make_model
from mnist_helpers.metrics import (
    EpochRecord,
    Predictions,
    as_logits,
    best_record,
    class_report,
    confusion_matrix,
    evaluate,
)


@pytest.fixture
def answers() -> Predictions:
    """400 answers at random, half of them right."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(400, 10, generator=generator)
    labels = torch.randint(10, (400,), generator=generator)
    logits[torch.arange(200), labels[:200]] += 10
    return Predictions(logits, labels)


def test_loss_and_accuracy_by_numpy(answers):
    from scipy.special import softmax

    logits, labels = answers.logits.double().numpy(), answers.labels.numpy()
    probs = softmax(logits, axis=1)
    targets = 0.9 * np.eye(10)[labels] + 0.01
    assert answers.loss() == pytest.approx(-np.log(probs[np.arange(400), labels]).mean(), rel=1e-5)
    assert answers.loss(0.1) == pytest.approx(-(targets * np.log(probs)).sum(1).mean(), rel=1e-5)
    assert answers.accuracy == pytest.approx((logits.argmax(1) == labels).mean())
    assert np.allclose(answers.confidence, probs.max(1), atol=1e-6)


def test_confusion_matrix_and_class_report_are_scikit_learns(answers):
    from sklearn import metrics  # here, for every worker would wait for it above

    given = answers.labels, answers.preds
    assert np.array_equal(confusion_matrix(answers), metrics.confusion_matrix(*given))
    *wanted, _ = metrics.precision_recall_fscore_support(*given)
    report = class_report(answers)
    assert list(report) == ["precision", "recall", "F1"]
    assert np.allclose(list(report.values()), wanted)


def test_a_class_without_images_has_no_scores_and_one_without_answers_no_precision():
    labels = torch.tensor([3, 3, 3, 7, 7, 5])
    answers = torch.tensor([3, 3, 7, 7, 2, 3])  # a 2, which never occurs; never a 5
    report = class_report(Predictions(torch.eye(10)[answers], labels))
    wanted = {
        "precision": {3: 2 / 3, 7: 1 / 2},
        "recall": {3: 2 / 3, 5: 0, 7: 1 / 2},
        "F1": {3: 2 / 3, 5: 0, 7: 1 / 2},
    }
    for name, scores in report.items():
        known = {digit: score for digit, score in enumerate(scores.tolist()) if score == score}
        assert known == pytest.approx(wanted[name]), name


def test_probabilities_are_not_made_softer(answers):
    """Whatever a network puts out, the confidence is the probability that it states."""
    logits = answers.logits
    half = logits.softmax(1).half().float()
    sure = torch.eye(10)[answers.preds]
    for probs, off in ((logits.softmax(1), 1e-6), (half, 2e-3), (sure, 1e-6)):
        kept = Predictions(as_logits(probs), answers.labels)
        assert torch.allclose(kept.probs, probs, atol=off)
        assert kept.loss() < 50  # finite, though a probability of 0 is among them
    sums_to_one = logits - (logits.sum(1, keepdim=True) - 1) / 10
    for values in (logits, logits.log_softmax(1), logits.relu(), logits / 9, sums_to_one):
        assert as_logits(values) is values
    with pytest.raises(InputError, match="from 0 to 1 that don't sum to 1; let it"):
        as_logits(logits.sigmoid())
    with pytest.raises(InputError, match="one number, not one per class; let it answer with"):
        as_logits(torch.rand(4, 1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_evaluate_asks_in_the_precision_of_the_model_and_keeps_each_mode(few, dtype):
    model = make_model().to(dtype).train()
    model.conv2.eval()
    images = few.test.tensors[0]
    answers = evaluate(nn.Sequential(model, nn.Softmax(1)), few.test)
    assert torch.allclose(answers.probs, model(images.to(dtype)).softmax(1).float(), atol=5e-3)
    assert torch.equal(answers.labels, few.test.tensors[1])
    assert [model.training, model.conv1.training, model.conv2.training] == [True, True, False]


def test_the_earliest_of_equal_epochs_is_best():
    records = [
        EpochRecord(epoch, 0, 0, loss, 0, 0, 0) for epoch, loss in enumerate((0.5, 0.4, 0.4), 1)
    ]
    assert best_record(records).epoch == 2


def test_a_line_of_the_history_fits_into_80_characters():
    line = str(EpochRecord(400, 12.34567, 0.95341, 0.5, 1.0, 0.01, 60))
    assert line == ("epoch 400   loss ≈ 12.3457 (val ≈ 0.5000)   accuracy ≈ 95.34% (val ≈ 100.00%)")
    assert len(line) <= 80
