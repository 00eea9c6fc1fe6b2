#!/bin/sh
# What is installed is enough for an app: an example is built by pkg-config's flags alone, as C and as C++, and the shared
# library exports nothing but public names.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$COVEY_BUILD_DIR" --prefix "$work/prefix" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
pc=$(find "$work/prefix" -name covey.pc)
lib=$(dirname "$(dirname "$pc")")
flags=$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --cflags --libs covey)
extra=
case $(nm -D "$lib/libcovey.so" | grep -c __asan_init || true) in 0) ;; *) extra="-fsanitize=address,undefined" ;; esac
case $(nm -D "$lib/libcovey.so" | grep -c __tsan_init || true) in 0) ;; *) extra="-fsanitize=thread" ;; esac
# shellcheck disable=SC2086 # flags are words
cc -std=c11 -Wall -Wextra -Werror $extra -o "$work/update" "$COVEY_SOURCE_DIR/examples/update.c" $flags
# shellcheck disable=SC2086
c++ -std=c++17 -Wall -Wextra -Werror $extra -o "$work/answer" "$COVEY_SOURCE_DIR/examples/answer_cpp.cpp" $flags
said=$(LD_LIBRARY_PATH=$lib "$work/update" "$work/state")
[ "$said" = "this device knows no control plane" ] || { echo "update said: $said"; exit 1; }
foreign=$(nm -D --defined-only "$lib/libcovey.so" | awk '$2 ~ /[TDBRWV]/ { print $3 }' | grep -vE '^covey_[a-z]' || true)
[ -z "$foreign" ] || { echo "exported, but not public: $foreign"; exit 1; }
internal=$(nm -D --defined-only "$lib/libcovey.so" | awk '{ print $3 }' | grep '^covey__' || true)
[ -z "$internal" ] || { echo "exported, but internal: $internal"; exit 1; }
# Each header stands alone, as C and as C++.
for header in "$work"/prefix/include/covey/*.h; do
    name=$(basename "$header")
    echo "#include <covey/$name>" >"$work/alone.c"
    cc -std=c11 -Wall -Wextra -Werror -fsyntax-only -I "$work/prefix/include" "$work/alone.c"
    cp "$work/alone.c" "$work/alone.cpp"
    c++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only -I "$work/prefix/include" "$work/alone.cpp"
done
