# The compiler and linker of C for $target: $zig, without the words that say the same in Apple's way or that it does not know.
skip=
for word; do
    shift
    if [ "$skip" ]; then
        skip=
        continue
    fi
    case $word in
    -arch | -target | -isysroot) skip=yes ;;
    --target=* | -mmacosx-version-min=*) ;;
    *) set -- "$@" "$word" ;;
    esac
done
# Nothing of it runs here, so nothing is to be watched while it does.
exec "$zig" cc -target "$target" -fno-sanitize=undefined -F"$stubs" -L"$stubs" "$@"
