"""The drawing in CONTRIBUTING.md: the packages below `pipeline`, and the imports between them, as a Mermaid flowchart.

    python -m docs.imports    print it; CONTRIBUTING.md holds it, and a test compares the two

An arrow that others imply (a -> b -> c implies a -> c) is left out.
"""

from itertools import product

import grimp


def imports() -> dict[str, set[str]]:
    """Each package below `pipeline`, and `single files`, with those that it imports."""
    graph = grimp.build_graph("pipeline")
    packages = {name for name in graph.find_children("pipeline") if graph.find_children(name)}

    def package(module: str) -> str:
        top = ".".join(module.split(".")[:2])
        return top.removeprefix("pipeline.") if top in packages else module.removeprefix("pipeline.")

    found: dict[str, set[str]] = {}
    for module in sorted(graph.modules - {"pipeline"}):
        imported = {package(other) for other in graph.find_modules_directly_imported_by(module)} - {"pipeline"}
        found.setdefault(package(module), set()).update(imported - {package(module)})
    single = {name for name, imported in found.items() if f"pipeline.{name}" not in packages and name not in ("__main__", "ui")}
    drawn = {name: {"single files" if other in single else other for other in imported} for name, imported in found.items()}
    return {name: imported for name, imported in drawn.items() if name not in single} | {"single files": set()}


def reduced(edges: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The edges without those that a longer way implies."""
    below = {name: set(imported) for name, imported in edges.items()}
    for through, name in product(edges, edges):
        if through in below[name]:
            below[name] |= below[through]
    return [
        (name, other)
        for name in edges
        for other in sorted(edges[name])
        if not any(other in below[between] for between in edges[name] - {other})
    ]


def mermaid() -> str:
    edges = imports()
    names = {name: name.replace(" ", "_").strip("_") for name in edges}
    nodes = [f'    {names[name]}["{name}"]' for name in edges]
    return "\n".join(
        ["```mermaid", "flowchart TD", *nodes, *(f"    {names[a]} --> {names[b]}" for a, b in reduced(edges)), "```"]
    )


if __name__ == "__main__":
    print(mermaid())
