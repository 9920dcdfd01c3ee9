"""Small wrong changes, each of which a test must notice: `python tests/mutants.py [part of a path]`.

Every mutant is applied alone to a copy of the project, and the tests of its file run there. Prints
which are killed and which survive, and exits with 1 if one survives or no longer fits the code.
"""

# ruff: noqa: E501 - a mutant a line

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = {  # which tests are asked, by the beginning of a file's path
    "analysis": ["test_analysis.py"],
    "report": ["test_report.py"],
    "site": ["test_site.py"],
    "network/tracing": ["test_tracing.py"],
    "network/receptive_field": ["test_receptive_field.py"],
    "network/arithmetic": ["test_arithmetic.py"],
    "network/activations": ["test_activations.py", "test_views.py"],
    "network/attribution": ["test_attribution.py"],
    "network/ablation": ["test_ablation.py"],
    "explorer/views": ["test_views.py"],
    "explorer/page": ["test_page.py"],
    "explorer/still": ["test_still.py"],
    "explorer": ["test_explorer.py", "test_views.py"],
    "export": ["test_export.py"],
    "checkpoint": ["test_export.py", "test_checkpoint.py"],
    "cli": ["test_export.py"],
    "live": ["test_live.py"],
    "plots": ["test_plots.py", "test_live.py"],
    "metrics": ["test_metrics.py"],
    "training": ["test_training.py"],
}
MUTANTS = [  # file in mnist_helpers, what stands there once, what is put in its place
    # the analysis
    ("analysis/comparison.py", 'method="wilson"', 'method="exact"'),
    ("analysis/comparison.py", "second & ~first", "second"),
    ("analysis/comparison.py", "if differing else 1.0", "/ 2 if differing else 1.0"),
    ("analysis/calibration.py", "predictions.logits / temperature", "predictions.logits * temperature"),
    ("analysis/calibration.py", "np.searchsorted(edges, confidence.numpy())", 'np.searchsorted(edges, confidence.numpy(), "right")'),
    ("analysis/calibration.py", "wrong.cumsum() / answered", "wrong.cumsum() / len(wrong)"),
    ("analysis/mistakes.py", "probs >= limits", "probs > 0"),
    ("analysis/mistakes.py", "found[own.argsort(stable=True)]", "found"),
    ("analysis/disturbance.py", "[shift, 0]", "[0, shift]"),
    ("analysis/disturbance.py", "images, angle, [shift", "images, -angle, [shift"),
    ("analysis/disturbance.py", "sign * F.max_pool2d(", "F.max_pool2d("),
    ("analysis/disturbance.py", "gradient.sign()", "-gradient.sign()"),
    ("analysis/disturbance.py", ".clamp(paper, highest)", ""),
    ("analysis/disturbance.py", "manual_seed(0)", "seed() and None"),
    ("analysis/embedding.py", "PCA(2, random_state=0)", "PCA(2, random_state=0, whiten=True)"),
    ("analysis/embedding.py", "yield done / ROUNDS", "yield ROUNDS - done"),
    ("explorer/subject.py", "confidence > only.tenth / 10", "confidence > 0"),
    ("explorer/subject.py", "self.predictions.preds == only.predicted", "self.labels == only.predicted"),
    ("explorer/subject.py", "return linear[-2]", "return linear[-1]"),
    ("explorer/views/answers.py", "order.numpy()", "order.numpy()[::-1]"),
    ("explorer/views/answers.py", "weights=answers.confidence", "weights=answers.correct"),
    ("explorer/views/answers.py", "points[chosen] - low", "points[: len(chosen)] - low"),
    ("explorer/views/answers.py", "if each != here", "if each"),
    ("explorer/views/__init__.py", "subject.look(shown(selection))", "subject.look(selection)"),
    ("explorer/views/layers.py", "name, *look.disturbed)", "name)"),
    ("explorer/still.py", "shades = mark.values if mark.shades is None else mark.shades", "shades = mark.values"),
    ("explorer/still.py", "classes == place", "classes != place"),
    ("explorer/page/marks.js", "SCATTER - SCATTER_EDGE - across *", "SCATTER_EDGE + across *"),
    ("explorer/page/marks.js", "along >= aside", "true"),
    ("explorer/page/marks.js", "decode(mark.shades)", "view.values"),
    ("report.py", "self.calibrated.loss()", "self.test.loss()"),
    ("report.py", 'replace("</", "<\\\\/")', 'replace("</", "</")'),
    ("report.py", "label_suspects(self.calibrated)", "label_suspects(self.test)"),
    ("plots.py", "(np.asarray(images)[:, 0])", "(np.asarray(images)[::-1, 0])"),
    # training, and what is shown of it
    ("live.py", "now - self.started", "now"),
    ("live.py", "tensor[:FEW] for tensor in splits.val", "tensor[:FEW] for tensor in splits.train"),
    ("live.py", "self.model, self.losses, self.val_losses, self.updated = model, [], {}, 0.0", "self.model, self.updated = model, 0.0"),
    ("live.py", "self.val_losses[done] =", "self.val_losses[done - 1] ="),
    ("live.py", ".loss(self.smoothing)", ".loss()"),
    ("plots.py", "epochs[width - 1 :], smooth", "epochs[: len(smooth)], smooth"),
    ("plots.py", ".swapaxes(1, 2)", ""),
    ("plots.py", "right[filled] / counts[filled]", "right[filled] / counts.sum()"),
    ("plots.py", 'PARTS = {"train": ORANGE, "val": BLUE', 'PARTS = {"train": BLUE, "val": BLUE'),
    ("metrics.py", "if mistakes[i] >= least", "if mistakes[i] > least"),
    ("training.py", "on_step(loss.detach() * self.ranks / count)", "on_step(loss.detach())"),
    ("training.py", ".val_loss > GUESSING", ".val_loss > 9e9"),
    # a checkpoint in another format
    ("export.py", 'node.meta.pop("stack_trace", None)', "pass"),
    ("export.py", ", dynamic_shapes=shapes)", ")"),
    ("export.py", '"sha256": sha256}', '"sha256": sha256[::-1]}'),
    ("export.py", "OPSET = 18", "OPSET = 17"),
    ("export.py", '"output_names": ["logits"]', '"output_names": ["answers"]'),
    ("export.py", '{"images": images.numpy()}', '{"images": -images.numpy()}'),
    ("export.py", "module()(images)", "module()(-images)"),
    ("export.py", "load_checkpoint(path)[0](images)", "load_checkpoint(path)[0](-images)"),
    ("export.py", "if not difference <= TOLERANCE", "if difference > TOLERANCE"),
    ("export.py", "TOLERANCE = 1e-4", "TOLERANCE = 1e-2"),
    ("export.py", "beside.unlink(missing_ok=True)", "pass"),
    ("export.py", "if out.suffix !=", "if not out.suffix !="),
    ("export.py", ".to(memory_format=torch.contiguous_format)", ""),
    ("export.py", "except OSError", "except ImportError"),
    ("export.py", "write_files({beside:", "write_files({out:"),
    ("export.py", 'require_writable(out, "out")', "pass"),
    ("checkpoint.py", '(file.metadata() or {}).get("sha256")', "None"),
    ("checkpoint.py", '(file.metadata() or {}).get("sha256")', 'file.metadata()["sha256"]'),
    ("checkpoint.py", "(SafetensorError, KeyError, TypeError)", "SafetensorError"),
    ("checkpoint.py", "(SafetensorError, KeyError, TypeError)", "(KeyError, TypeError)"),
    ("cli.py", '("papermill", "onnxscript", "onnx_ir")', '("papermill",)'),
    ("cli.py", '"outputs" / f"{self.checkpoint.stem}.{self.format}"', '"outputs" / f"{self.checkpoint.name}.{self.format}"'),
    # the network taken apart
    ("network/tracing.py", 'call_method("softmax", (logits, 1))', 'call_method("softmax", (logits, 0))'),
    ("network/tracing.py", "expected, rtol=1e-3", "answer[:1], rtol=1e-3"),
    ("network/receptive_field.py", "span = dilation * (kernel_size - 1)", "span = kernel_size - 1"),
    ("network/receptive_field.py", "(before, after), **options", "(after, before), **options"),
    ("network/receptive_field.py", "rows = axis_reads(module, 0,", "rows = axis_reads(module, 1,"),
    ("network/receptive_field.py", "np.stack((rows, rows + 1)", "np.stack((rows, rows)"),
    ("network/receptive_field.py", "np.minimum(intervals[:, 0], others[:, 0])", "np.maximum(intervals[:, 0], others[:, 0])"),
    ("network/arithmetic.py", "channels = range(group * count, (group + 1) * count)", "channels = range(count)"),
    ("network/arithmetic.py", '("mean", _mean)', '("mean", _own_window)'),
    ("network/arithmetic.py", "and (said := Arithmetic(**known | parts)).holds", "and (said := Arithmetic(**known | parts))"),
    ("network/arithmetic.py", "channel -= count", "channel -= 1"),
    ("network/arithmetic.py", "return np.nansum(self.patch * self.kernel", "return np.nansum(self.patch + self.kernel"),
    ("network/arithmetic.py", """place.weight("bias") - place""", """place.weight("bias") + place"""),
    ("network/activations.py", "argsort(descending=True, stable=True)", "argsort(descending=False, stable=True)"),
    ("network/activations.py", "self.mean[labels == label]", "self.max[labels == label]"),
    ("network/activations.py", "maximize=True", "maximize=False"),
    ("network/ablation.py", "index_fill(1, channels, 0.0)", "index_fill(1, channels, 1.0)"),
    ("network/ablation.py", "losses.append(right - ", "losses.append(-right + "),
    # what the views draw
    ("explorer/views/parts.py", "(-end if signed else 0.0, end)", "(-end, end)"),
    ("explorer/views/parts.py", "(-end if signed else 0.0, end)", "(end, -end if signed else 0.0)"),
    ("explorer/views/parts.py", "ROBUST = 99", "ROBUST = 50"),
    ("explorer/views/parts.py", 'VALUE = {"channel": INDEX, "row": ROW, "column": COLUMN}', 'VALUE = {"channel": INDEX, "row": COLUMN, "column": ROW}'),
    ("explorer/views/parts.py", "look.seen(look.at.row, look.at.column)", "look.seen(look.at.column, look.at.row)"),
    ("explorer/views/parts.py", "return look.at.row, look.at.column, look.at.row + 1", "return look.at.column, look.at.row, look.at.row + 1"),
    ("explorer/views/parts.py", "values[channel][None]", "values[0][None]"),
    ("explorer/views/parts.py", "frame=int(values.argmax())", "frame=int(values.argmin())"),
    ("explorer/views/convolve.py", "(row, column, row + 1, column + 1)", "(column, row, column + 1, row + 1)"),
    ("explorer/views/convolve.py", "row * at.stride, column * at.stride", "row, column"),
    ("explorer/views/convolve.py", ".round(4).tolist()", ".round(1).tolist()"),
    ("explorer/page/marks.js", "clientX - from.x + from.y - clientY", "clientX - from.x + clientY - from.y"),
    ("explorer/page/marks.js", "place && differs(element, place)", "place"),
    ("explorer/page/marks.js", "if (!isSame && !context.busy())", "if (!context.busy())"),
    ("explorer/views/layers.py", "weights[outputs, inputs]", "weights[outputs, inputs[::-1]]"),
    ("explorer/views/layers.py", "np.flatnonzero(outputs == channel)", "np.flatnonzero(inputs == channel)"),
    ("explorer/views/layers.py", "labels=[str(first + number)", "labels=[str(number)"),
    ("explorer/views/layers.py", "np.subtract(*sides.values())", "np.add(*sides.values())"),
    ("explorer/views/layers.py", "subject.maps(at.image, name, *look", "subject.maps(at.image, at.weights, *look"),
    ("explorer/views/layers.py", "mark[\"frames\"] = {look.at.channel: value_box(look)}", "mark[\"frames\"] = {0: value_box(look)}"),
    ("explorer/views/arithmetic.py", '"products": patch * kernel', '"products": patch + kernel'),
    ("explorer/views/arithmetic.py", "np.abs(sums.partial_sums).argmax()", "sums.partial_sums.argmin()"),
    ("explorer/views/arithmetic.py", "max(sums.value, 0.0)", "min(sums.value, 0.0)"),
    ("explorer/views/arithmetic.py", "channels = range(sums.source, sums.source + len(sums.patch))", "channels = range(len(sums.patch))"),
    ("explorer/views/arithmetic.py", "rows.min(), columns.min(), rows.max() + 1", "columns.min(), rows.min(), rows.max() + 1"),
    ("explorer/views/evidence.py", 'select={"image": image}', 'select={"image": image + 1}'),
    ("explorer/views/evidence.py", '("all channels", "ablated")', '("ablated", "all channels")'),
    ("explorer/views/evidence.py", "for part in (labels[correct], labels))", "for part in (labels[~correct], labels))"),
    ("explorer/views/evidence.py", "np.log10(1 + np.abs(counts))", "np.log10(2 + np.abs(counts))"),
    ("explorer/views/evidence.py", "values[:, top:bottom, left:right]", "values[:, left:right, top:bottom]"),
    ("explorer/views/evidence.py", "labels == at.target", "labels != at.target"),
    ("explorer/views/evidence.py", "if layer == name]", "if layer != name]"),
    # selection, subject and widget
    ("explorer/subject.py", "kernel - before[name]", "before[name] - kernel"),
    ("explorer/subject.py", 'self.predictions.correct == (only.read == "right")', 'self.predictions.correct == (only.read == "wrong")'),
    ("explorer/subject.py", "among.argmax()", "among.argmin()"),
    ("explorer/controls.py", "{*at.ablated} ^ {tuple(pair)}", "{*at.ablated} | {tuple(pair)}"),
    ("explorer/widget.py", '"float32" if 4 * size <= MOST_BYTES', '"float16" if 4 * size <= MOST_BYTES'),
    ("explorer/widget.py", "framed=name == here", "framed=name != here"),
    ("explorer/widget.py", "max(place - AROUND, 0)", "max(place - AROUND, 1)"),
    ("explorer/selection.py", "sorted((layer, channel) for", "list((layer, channel) for"),
    ("explorer/scene.py", '.replace("-", "−")', ""),
    # the two renderers
    ("explorer/still.py", "pixels[edge, left:right] = colour", "pixels[left:right, edge] = colour"),
    ("explorer/still.py", "ACCENT if index in mark.frames", "BLACK if index in mark.frames"),
    ("explorer/still.py", "levels = np.linspace(high, low, 64)", "levels = np.linspace(low, high, 64)"),
    ("explorer/still.py", '"signed": "RdBu_r"', '"signed": "RdBu"'),
    ("explorer/still.py", "abs(top - base)", "abs(top)"),
    ("explorer/still.py", "0.5 + value / top / 2", "0.5 - value / top / 2"),
    ("explorer/page/marks.js", '"@row": row, "@column": column', '"@row": column, "@column": row'),
    ("explorer/page/marks.js", "undefined : row * width + column", "undefined : column * width + row"),
    ("explorer/page/marks.js", "(blue << 16) | (green << 8) | red", "(red << 16) | (green << 8) | blue"),
    ("explorer/page/marks.js", "[-1, 1, -columns, columns,", "[1, -1, -columns, columns,"),
    ("explorer/page/controls.js", "control.values ? control.values[input.value]", "control.values ? control.values[0]"),
    ("explorer/page/explorer.js", "if (!waiting || sent > host.get(\"state\").serial) return;", "if (!waiting) return;"),
    # the site
    ("site/build.py", 'partition("</h1>")[2]', 'partition("</h1>")[0]'),
    ("site/build.py", "levels, pixels = subject.images.unique", "levels, pixels = subject.images.flip(2).unique"),
    ("site/build.py", "for old, new in CHANGES.items():", "for old, new in list(CHANGES.items())[2:]:"),
    ("site/build.py", 'DOCS.glob("*.png")', 'DOCS.glob("*.jpg")'),
    ("site/page/network.js", ".fill(0, channel * area", ".fill(1, channel * area"),
    ("site/page/network.js", "Math.floor((tap % 9) / 3) - 1, (tap % 3) - 1", "(tap % 3) - 1, Math.floor((tap % 9) / 3) - 1"),
    ("site/page/network.js", "(row + down) * width + right", "(row + down) * width - right"),
    ("site/page/network.js", "Math.max(0, value)", "Math.abs(value)"),
    ("site/page/network.js", "const below = from + 2 * width", "const below = from + width"),
    ("site/page/network.js", "let sum = biases[out]", "let sum = 0"),
    ("site/page/network.js", "power / total", "power"),
    ("site/page/network.js", 'name !== "__metadata__" && !SHAPES[name]', 'name !== "__metadata__" && !SHAPES.length'),
    ("site/page/network.js", "length > buffer.byteLength - 8", "length > 2n ** 40n"),
    ("site/page/network.js", "to - from === size &&", ""),
    ("site/page/views.js", 'replace("-", "") : written', 'replace("", "") : written'),
    ("site/page/views.js", 'how === "each" ? data.length / shape[0]', 'how === "robust" ? data.length / shape[0]'),
    ("site/page/views.js", "0.99 * (sorted.length - 1)", "0.98 * (sorted.length - 1)"),
    ("site/page/views.js", 'how === "robust" ? " (99th percentile)"', 'how === "layer" ? " (99th percentile)"'),
    ("site/page/views.js", 'limits[0][0] < 0 ? "signed"', 'limits[0][0] > 0 ? "signed"'),
    ("site/page/views.js", "[[-largestOf(image.map((value) => -value)), largestOf(image)]]", "[[0, largestOf(image)]]"),
    ("site/page/views.js", "[rows[at.row], columns[at.column]]", "[columns[at.column], rows[at.row]]"),
    ("site/page/views.js", 'channel: "@place" };', 'channel: "@index" };'),
    ("site/page/views.js", "Math.floor(channel / columns), channel % columns", "channel % columns, Math.floor(channel / columns)"),
    ("site/page/views.js", "array(data.subarray(channel * area, (channel + 1) * area)", "array(data.subarray(0, area)"),
    ("site/page/views.js", "values[i] ?? NaN", "values[i] ?? 0"),
    ("site/page/views.js", "3 - Math.floor(Math.log10", "4 - Math.floor(Math.log10"),
    ("site/page/views.js", "at.target ?? indexOfLargest(data)", "indexOfLargest(data)"),
    ("site/page/views.js", "names.length > 1 ? [] :", "names.length > 9 ? [] :"),
    ("site/page/views.js", "`, row ${at.row}, column ${at.column}`", "`, row ${at.column}, column ${at.row}`"),
    ("site/page/views.js", 'op !== "Flatten";', 'op !== "ReLU";'),
    ("site/page/views.js", "Math.ceil(shape[0] / 8)", "Math.ceil(shape[0] / 4)"),
    ("site/page/views.js", "passed.findLast(", "passed.find("),
    ("site/page/views.js", "(i % outs) * ins + Math.floor(i / outs)", "Math.floor(i / outs) * ins + (i % outs)"),
    ("site/page/views.js", "Math.min(chosen, count - 1)", "count - 1"),
    ("site/page/views.js", 'colour_bar: at.limits !== "each" };', 'colour_bar: at.limits === "each" };'),
    ("site/page/views.js", "emphasis: [LAB.labels[at.image]]", "emphasis: [at.image]"),
    ("site/page/views.js", '"all channels": probs, ablated: left', '"all channels": left, ablated: probs'),
    ("site/page/views.js", "filter(([layer]) => layer === name)", "filter(([layer]) => layer !== name)"),
    ("site/page/views.js", "at.channel * size + each * area", "each * size + at.channel * area"),
    ("site/page/views.js", "look.at.input_channel ?? likeliest", "likeliest"),
    ("site/page/views.js", "number(Math.max(value, 0))", "number(value)"),
    ("site/page/views.js", "found.first + source, box", "source, box"),
    ("site/page/views.js", 'op === "MaxPool2d" ? indexOfLargest(patch)', 'op === "ReLU" ? indexOfLargest(patch)'),
    ("site/page/views.js", "channel: first + source,", "channel: source,"),
    ("site/page/views.js", "number(found.sums[source])", "number(found.sums[0])"),
    ("site/page/views.js", "`from ${i * values.shape[1]}`", "`from ${i}`"),
    ("site/page/lab.js", "IMAGES[selection.image];", "IMAGES[0];"),
    ("site/page/lab.js", "forward(image, network.weights)[LAYERS", "forward(IMAGES[0], network.weights)[LAYERS"),
    ("site/page/lab.js", "if (value > best)", "if (value >= best)"),
    ("site/page/lab.js", "notes: [`${sure}, label", "notes: [`${read}, label"),
    ("site/page/lab.js", "framed: layer === at.layer", "framed: layer !== at.layer"),
    ("site/page/lab.js", "value ?? 0, max", "value ?? 1, max"),
    ("site/page/lab.js", "view: at.view };", "};"),
    ("site/page/lab.js", "others.length < pairs.length ? others", "others.length > pairs.length ? others"),
    ("site/page/lab.js", "new DataView(buffer, byteOffset, byteLength)", "new DataView(buffer)"),
    ("site/page/lab.js", 'value.length === 1 ? "," : ""', 'value.length > 1 ? "," : ""'),
    ("site/page/lab.js", 'join("+")', 'join("-")'),
    ("site/page/lab.js", "isLayer(b) - isLayer(a)", "isLayer(a) - isLayer(b)"),
    ("site/page/lab.js", "Object.hasOwn(values, name) ?", "values[name] ?"),
    ("site/page/lab.js", "if (!error) history", "if (error) history"),
    ("site/page/lab.js", "go(host.selection, undefined, `This", "go(START, undefined, `This"),
    ("site/page/lab.js", 'select: { image: "@index" }', 'select: { image: "@column" }'),
    ("site/page/lab.js", "    kept = new WeakMap();\n", ""),
    ("site/page/lab.js", 'addEventListener("hashchange", goThere);', ""),
]  # fmt: skip


def tests_of(path: str) -> list[str]:
    """The test files that are asked about a file."""
    beginning = next(each for each in TESTS if path.startswith(each))
    return [f"tests/{name}" for name in TESTS[beginning]]


def is_killed(folder: Path, path: str, old: str, new: str) -> bool:
    """Whether a test in `folder` fails with the change; the file is put back."""
    file = folder / "mnist_helpers" / path
    source = file.read_text(encoding="utf-8")
    file.write_text(source.replace(old, new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *tests_of(path)], cwd=folder, capture_output=True, check=False)
    file.write_text(source, encoding="utf-8")
    return done.returncode == 1


def main() -> None:
    """Tries every mutant."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [mutant for mutant in MUTANTS if wanted in mutant[0]]
    survivors = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "copy"
        ignored = shutil.ignore_patterns(".venv", ".git", "outputs", "runs", "__pycache__")
        shutil.copytree(ROOT, folder, ignore=ignored)
        for path, old, new in chosen:
            count = (folder / "mnist_helpers" / path).read_text(encoding="utf-8").count(old)
            killed = count == 1 and is_killed(folder, path, old, new)
            word = "killed" if killed else f"fits {count} times" if count != 1 else "SURVIVED"
            print(f"{word:10} {path}: {old!r} -> {new!r}", flush=True)
            survivors += [] if killed else [path]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} killed")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
