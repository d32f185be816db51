#!/bin/sh
# Writes what the real kustomize makes of every case in goldens/: expected.yaml, or must-fail.
# Usage: make-goldens.sh [CASE...]; without arguments all cases. Set KUSTOMIZE to a kustomize v5.8.1.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
version=v5.8.1
kustomize=${KUSTOMIZE:-}
if [ -z "$kustomize" ]; then
    bin=${CARGO_TARGET_DIR:-$here/../../target}/oracle
    kustomize=$bin/kustomize
    if [ ! -x "$kustomize" ]; then
        mkdir -p "$bin"
        GOBIN=$bin go install "sigs.k8s.io/kustomize/kustomize/v5@$version"
    fi
fi
cd "$here/goldens"
if [ $# -eq 0 ]; then
    set -- */*/
fi
made=0
for case in "$@"; do
    case=${case%/}
    directory=$case
    if [ -d "$case/overlay" ]; then directory=$case/overlay; fi
    flags=
    if [ -f "$case/flags" ]; then flags=$(cat "$case/flags"); fi
    rm -f "$case/expected.yaml" "$case/must-fail"
    # shellcheck disable=SC2086 # several flags in one file
    if "$kustomize" build $flags "$directory" >"$case/expected.yaml" 2>/dev/null; then
        :
    else
        rm -f "$case/expected.yaml"
        echo "kustomize $version refuses this case." >"$case/must-fail"
    fi
    made=$((made + 1))
done
echo "$made cases written by $kustomize"
