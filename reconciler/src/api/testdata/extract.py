#!/usr/bin/env python3
"""Makes flux-crds.json and flux-samples.json from Flux's own files.

Origin: github.com/fluxcd/kustomize-controller v1.9.6 and github.com/fluxcd/source-controller v1.9.1,
both Apache-2.0, as the Go module proxy serves them. Needs `go` and PyYAML. Run from any directory:

    reconciler/src/api/testdata/extract.py

flux-crds.json holds the two CustomResourceDefinitions without descriptions. flux-samples.json holds
every object of the two kinds that the documents under docs/spec/v1 show. Samples that leave required
fields out "for brevity" (lines of `...` are dropped) get those fields, and only those, from COMPLETION; `completed` names them.
"""

import json
import pathlib
import subprocess
import tempfile

import yaml

KUSTOMIZE = "github.com/fluxcd/kustomize-controller@v1.9.6"
SOURCE = "github.com/fluxcd/source-controller@v1.9.1"
CRDS = [
    (KUSTOMIZE, "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml"),
    (SOURCE, "config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml"),
]
DOCUMENTS = [
    (KUSTOMIZE, "docs/spec/v1/kustomizations.md", "Kustomization"),
    (SOURCE, "docs/spec/v1/gitrepositories.md", "GitRepository"),
]
API_VERSIONS = {
    "Kustomization": "kustomize.toolkit.fluxcd.io/v1",
    "GitRepository": "source.toolkit.fluxcd.io/v1",
}
COMPLETION = {
    "Kustomization": {
        "interval": "10m",
        "prune": True,
        "sourceRef": {"kind": "GitRepository", "name": "podinfo"},
    },
    "GitRepository": {"interval": "5m", "url": "https://github.com/stefanprodan/podinfo"},
}


class Loader(yaml.SafeLoader):
    """Leaves timestamps as text, as Kubernetes does."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def module(path):
    with tempfile.TemporaryDirectory() as scratch:
        answer = subprocess.run(
            ["go", "mod", "download", "-json", path], cwd=scratch, check=True, capture_output=True
        )
    return pathlib.Path(json.loads(answer.stdout)["Dir"])


def without_descriptions(value):
    if isinstance(value, dict):
        return {
            key: without_descriptions(item)
            for key, item in value.items()
            if not (key == "description" and isinstance(item, str))
        }
    if isinstance(value, list):
        return [without_descriptions(item) for item in value]
    return value


def yaml_blocks(text):
    """Yields (line, text) of each fenced YAML block, with its indentation taken off."""
    block, start, indent = None, 0, 0
    for number, line in enumerate(text.splitlines(), 1):
        fence = line.strip()
        if block is None and fence == "```yaml":
            block, start, indent = [], number + 1, len(line) - len(line.lstrip())
        elif block is not None and fence.startswith("```"):
            yield start, "\n".join(block)
            block = None
        elif block is not None:
            block.append(line[indent:] if not fence.startswith("...") else "")


def samples(document, described, text):
    for line, block in yaml_blocks(text):
        for value in yaml.load_all(block, Loader=Loader):
            if not isinstance(value, dict):
                continue
            if value.keys() <= {"spec", "status"}:
                # A fragment stands for the kind that its document describes.
                value |= {"apiVersion": API_VERSIONS[described], "kind": described}
                value["metadata"] = {"name": "fragment"}
            kind = value.get("kind")
            if value.get("apiVersion") != API_VERSIONS.get(kind, ""):
                continue
            spec = value["spec"] = value.get("spec") or {}
            completed = [name for name in COMPLETION[kind] if name not in spec]
            for name in completed:
                spec[name] = COMPLETION[kind][name]
            yield {"document": document, "line": line, "completed": completed, "object": value}


def write(name, value):
    target = pathlib.Path(__file__).with_name(name)
    target.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def main():
    crds = []
    for origin, path in CRDS:
        crd = yaml.load((module(origin) / path).read_text(), Loader=Loader)
        crds.append({"origin": f"{origin}/{path}", "crd": without_descriptions(crd)})
    write("flux-crds.json", {"licence": "Apache-2.0", "crds": crds})

    found = []
    for origin, path, described in DOCUMENTS:
        text = (module(origin) / path).read_text()
        found.extend(samples(f"{origin}/{path}", described, text))
    write("flux-samples.json", {"licence": "Apache-2.0", "samples": found})


if __name__ == "__main__":
    main()
