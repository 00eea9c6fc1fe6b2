# Building for WebAssembly with SIMD: Debian's clang, lld, wasi-libc and libclang-rt-14-dev-wasm32. There are no threads:
# pools have one, and cmake/wasi/ stands in for the headers that wasi-libc lacks.
set(CMAKE_SYSTEM_NAME WASI)
set(CMAKE_SYSTEM_PROCESSOR wasm32)
set(CMAKE_C_COMPILER clang)
set(CMAKE_C_COMPILER_TARGET wasm32-wasi)
set(CMAKE_AR llvm-ar)
set(CMAKE_RANLIB llvm-ranlib)
# Files are read whole where others map them.
set(CMAKE_C_FLAGS_INIT "-msimd128 -isystem ${CMAKE_CURRENT_LIST_DIR}/wasi -D_WASI_EMULATED_MMAN")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-lwasi-emulated-mman -Wl,-z,stack-size=1048576")
set(CMAKE_FIND_ROOT_PATH /usr/lib/wasm32-wasi)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(COVEY_NO_THREADS ON)
set(CMAKE_CROSSCOMPILING_EMULATOR "node;--no-warnings;${CMAKE_CURRENT_LIST_DIR}/../tests/portable/run-wasi.mjs")
