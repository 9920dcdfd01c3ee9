"""How much there is to read, held by the limits of the table in CONTRIBUTING.md."""

import ast
import re
import sys
import tokenize

import pytest

from mnist_helpers.config import PROJECT_DIR

PACKAGE = PROJECT_DIR / "mnist_helpers"
COUNTED = (tokenize.NAME, tokenize.OP, tokenize.NUMBER)  # no strings, comments or docstrings
DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BRANCHES = (
    ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.BoolOp, ast.comprehension,
)  # fmt: skip
SCRIPT = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"  # comments and strings
    r"|(?P<token>[A-Za-z_$][\w$]*|\d[\w.]*|=>|\.\.\.|[=!]==?|[<>]=|&&|\|\||\?\?=?|\?\.|[^\s\w])",
    re.DOTALL,
)
TEMPLATE = re.compile(r"`(?:\\.|[^`\\])*`", re.DOTALL)
INSIDE = re.compile(r"\$\{(.*?)\}", re.DOTALL)


def limits():
    """The rows of the table: {what: the most}."""
    text = (PROJECT_DIR / "CONTRIBUTING.md").read_text("utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([\d.,]+) \| [\d.,]+ \|$", text, re.MULTILINE)
    return {name: float(most.replace(",", "")) for name, most in rows}


def sources(pattern):
    return {path: path.read_text("utf-8") for path in PACKAGE.rglob(pattern)}


def docstring_lines(tree):
    """The numbers of the lines that are docstrings."""
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            lines.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def python_tokens(path, tree):
    """How many tokens a file has, and how many statements."""
    prose = docstring_lines(tree)
    tokens = statements = unfinished = 0
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            unfinished += token.type in COUNTED and token.start[0] not in prose
            if token.type == tokenize.NEWLINE and unfinished:
                tokens += unfinished
                statements += 1
                unfinished = 0
    return tokens, statements


def script_tokens(source):
    """How many tokens a script has; of a template only what stands in ${...}."""
    computed = TEMPLATE.sub(lambda match: " ".join(INSIDE.findall(match[0])), source)
    return sum(match["token"] is not None for match in SCRIPT.finditer(computed))


def is_tuple_assignment(node):
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Tuple)
        and isinstance(node.value, ast.Tuple | ast.GeneratorExp)
    )


def is_merge(node):
    """Whether dicts are merged with |."""
    if isinstance(node, ast.AugAssign):
        return isinstance(node.op, ast.BitOr)
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.BitOr):
        return False
    return isinstance(node.left, ast.Dict) or isinstance(node.right, ast.Dict)


def measured():
    """What the table limits."""
    python = sources("*.py")
    scripts = sources("*.js")
    trees = {path: ast.parse(source) for path, source in python.items()}
    counts = [python_tokens(path, tree) for path, tree in trees.items()]
    tokens = sum(count for count, _ in counts)
    statements = sum(count for _, count in counts)
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    functions = [node for node in nodes if isinstance(node, FUNCTIONS)]
    lengths = [node.end_lineno - node.lineno + 1 for node in functions]
    branches = [sum(isinstance(part, BRANCHES) for part in ast.walk(node)) for node in functions]
    hundreds = statements / 100
    return {
        "tokens of Python": tokens,
        "tokens of JavaScript": sum(map(script_tokens, scripts.values())),
        "tokens a statement": tokens / statements,
        "assignments of tuples in 100 statements": sum(map(is_tuple_assignment, nodes)) / hundreds,
        "conditional expressions in 100 statements": (
            sum(isinstance(node, ast.IfExp) for node in nodes) / hundreds
        ),
        "merged dicts in 100 statements": sum(map(is_merge, nodes)) / hundreds,
        "lines of a function": max(lengths),
        "branches of a function": max(branches),
        "lines of a Python file": max(len(source.splitlines()) for source in python.values()),
        "lines of a script": max(len(source.splitlines()) for source in scripts.values()),
    }


@pytest.fixture(scope="module")
def sizes():
    return measured()


def test_the_table_limits_all_that_is_measured(sizes):
    assert limits().keys() == sizes.keys()


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="tokenize then counts what stands inside of f-strings"
)
@pytest.mark.parametrize("name", limits())
def test_it_stays_small(sizes, name):
    assert sizes[name] <= limits()[name], "see 'How much there is to read' in CONTRIBUTING.md"
