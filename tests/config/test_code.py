"""The hash of the code: what counts as imported, and which stages an edit reaches."""

import shutil
from pathlib import Path

import grimp
import pytest

from pipeline.config import syntax
from pipeline.config.code import Code, numerical_code, require_code
from pipeline.errors import PipelineError
from pipeline.files import ROOT
from pipeline.stages import STAGES


def test_a_file_beside_its_module_counts(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "m.py").write_text("")
    before = Code(tmp_path).hash_of(["pipeline.m"])
    (tmp_path / "pipeline" / "m.py~").write_text("an editor's copy")
    assert Code(tmp_path).hash_of(["pipeline.m"]) == before
    (tmp_path / "pipeline" / "m.html.j2").write_text("<p>")
    assert Code(tmp_path).hash_of(["pipeline.m"]) != before


def test_what_a_module_imports(tmp_path: Path) -> None:
    files = {
        "pipeline/__init__.py": "",
        "pipeline/stages/__init__.py": "",
        "pipeline/stages/train.py": "import pipeline.a\nfrom pipeline.b import deep\nimport numpy",
        "pipeline/a.py": "def f():\n    from pipeline import c\nNAME = 'pipeline.unnamed'",
        "pipeline/c.py": "import pipeline.stages.train",
        "pipeline/unnamed.py": "",
        "pipeline/b/__init__.py": "from .near import x\nif TYPE_CHECKING:\n    import pipeline.b.far",
        "pipeline/b/near.py": "from . import other\nfrom ..d import y",
        "pipeline/b/other.py": "",
        "pipeline/b/deep.py": "from pipeline.models import MODELS",
        "pipeline/b/far.py": "",
        "pipeline/d.py": "",
        "pipeline/models/__init__.py": "MODELS = registry(__name__)",
        "pipeline/models/one.py": "import pipeline.e",
        "pipeline/e.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    names = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files}
    assert Code(tmp_path).reached("pipeline.stages.train") == names - {"pipeline.unnamed", "pipeline.b.far"}


def stages_by_imports() -> dict[str, set[str]]:
    """What grimp finds that each stage imports, at any depth, with the packages around it."""
    graph = grimp.build_graph("pipeline", cache_dir=None, exclude_type_checking_imports=True)
    code = Code()

    def around(module: str) -> set[str]:
        parts = module.split(".")
        return {".".join(parts[:i]) for i in range(1, len(parts) + 1)}

    found = {}
    for stage in STAGES:
        reached, todo = set[str](), around(f"pipeline.stages.{stage}")
        while todo - reached:
            module = (todo - reached).pop()
            reached.add(module)
            children = graph.find_children(module) if code.reached(module) >= graph.find_children(module) else set()
            todo |= {name for found in (*graph.find_modules_directly_imported_by(module), *children) for name in around(found)}
        found[stage] = reached
    return found


PACKAGES = sorted(path.parent for path in (ROOT / "pipeline").rglob("__init__.py"))
LARGEST = [max(package.glob("[a-z]*.py"), key=lambda path: path.stat().st_size, default=None) for package in PACKAGES]
EDITED = [str(path.relative_to(ROOT)) for path in LARGEST if path]  # one module of each package


@pytest.fixture(scope="module")
def hashes() -> dict[str, str]:
    code = Code()
    return {stage: code.stage(stage) for stage in STAGES}


@pytest.fixture(scope="module")
def imported() -> dict[str, set[str]]:
    return stages_by_imports()


@pytest.mark.parametrize("path", EDITED)
def test_an_edit_reaches_exactly_the_stages_that_import_it_or_write_its_hash(
    tmp_path: Path, path: str, hashes: dict[str, str], imported: dict[str, set[str]]
) -> None:
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    module, text = path.removesuffix(".py").replace("/", "."), (ROOT / path).read_text()
    (tmp_path / path).write_text(f"# reworded\n\n{text}\n\n# a comment\n")
    code = Code(tmp_path)
    assert {stage: code.stage(stage) for stage in STAGES} == hashes
    (tmp_path / path).write_text(f"{text}\n\ndef _added() -> int:\n    return 1\n")
    code = Code(tmp_path)
    changed = {stage for stage in STAGES if code.stage(stage) != hashes[stage]}
    writing_another_fingerprint = {"validate", "train"} if code.numerical() != numerical_code() else set()
    assert changed == {stage for stage in STAGES if module in imported[stage]} | writing_another_fingerprint


def test_the_stages_without_a_model_reach_no_optimizer() -> None:
    code = Code()
    reaching = [stage for stage in STAGES if any(".optimizers." in name for name in code.reached(f"pipeline.stages.{stage}"))]
    assert set(reaching) <= {"compose", "validate", "train", "evaluate", "plot"}


def test_the_fingerprint_s_code_is_what_the_numbers_depend_on(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    assert Code(tmp_path).numerical() == numerical_code()
    for name, counts in {
        "arrays": True,
        "learning/objective": True,
        "learning/optimizers/adam": True,
        "data/csv_file": False,  # `generate` reads with it: a changed table has another digest, and with an equal one
        "learning/batch": False,  # DVC would not train again, as with code that no stage runs
        "evaluation/folds": True,
        "evaluation/penalty": True,
        "evaluation/figures/panel": False,
    }.items():
        path = tmp_path / "pipeline" / f"{name}.py"
        text = path.read_text()
        path.write_text(f"{text}\n\n_added = 1\n")
        assert (Code(tmp_path).numerical() != numerical_code()) is counts, name
        path.write_text(text)
    (tmp_path / "pipeline" / "learning" / "optimizers" / "added.py").write_text("")
    assert Code(tmp_path).numerical() != numerical_code()


def test_a_stage_of_other_code_is_refused(tmp_path: Path) -> None:
    require_code("evaluate", Code().stage("evaluate"), tmp_path)
    require_code("evaluate", None, tmp_path)
    with pytest.raises(PipelineError, match="evaluate.yaml must be of the present code of evaluate, .*: run `dvc repro`$"):
        require_code("evaluate", "0" * 64, tmp_path / "evaluate.yaml")


def test_the_cache_spares_parsing_and_is_used_for_equal_bytes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pipeline").mkdir()
    module, cache = tmp_path / "pipeline" / "m.py", tmp_path / "out" / "code.json"
    module.write_text("import pipeline.n\n")
    first = Code(tmp_path, cache)
    before = first.hash_of(first.reached("pipeline.m"))
    module.write_text("CHANGED = 1\n")  # after it was read
    first.write_cache()
    parsed: list[bytes] = []
    parse = syntax.parse

    def counted(source: bytes) -> syntax.Parsed:
        parsed.append(source)
        return parse(source)

    monkeypatch.setattr(syntax, "parse", counted)
    assert Code(tmp_path, cache).hash_of(["pipeline.m"]) != before
    assert parsed == [b"CHANGED = 1\n"]
    module.write_text("import pipeline.n\n")
    (tmp_path / "pipeline" / "n.py").write_text("N = 1\n")
    parsed.clear()
    assert Code(tmp_path, cache).hash_of(["pipeline.m"]) == before
    assert parsed == []
    assert Code(tmp_path, cache).reached("pipeline.m") == {"pipeline.m", "pipeline.n"}
    for damaged in ("", "[]", '{"a": 1}', '{"a": {"digest": "b"}}'):
        cache.write_text(damaged)
        assert Code(tmp_path, cache).hash_of(["pipeline.m"]) == before
    cache.unlink()
    first = Code(tmp_path, cache)
    first.hash_of(["pipeline.m"])
    first.write_cache()
    other = tmp_path / "syntax.py"
    other.write_text("another way to hash")
    monkeypatch.setattr("pipeline.config.code.SYNTAX", other)
    parsed.clear()
    Code(tmp_path, cache).hash_of(["pipeline.m"])
    assert parsed == [b"import pipeline.n\n"]
