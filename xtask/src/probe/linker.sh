#!/bin/sh
# Runs bpf-linker where the names of sources lead to them: see sources.rs.
cd "${0%/*}" && exec ./linker "$@"
