#!/bin/sh
# Stands for a compiler or an archiver of C where nothing is linked: makes each file that it is asked for, and leaves it empty.
case $1 in
# An archiver: the operation without a dash, then the archive.
[a-z]*)
    : >>"$2"
    exit
    ;;
esac
while [ $# -gt 0 ]; do
    case $1 in
    -o) : >"$2"; shift ;;
    -o?*) : >"${1#-o}" ;;
    esac
    shift
done
