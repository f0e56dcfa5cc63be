# A thin front over CMake: `make demo` talks with the embedded model, `make test` checks everything.
BUILD ?= build
.PHONY: all demo test test-gpu check format web clean
all:
	@scripts/ensure-packages.sh build
	@scripts/build.sh $(BUILD)
# One conversation with the embedded model. Installs what is missing, builds, runs.
demo:
	@scripts/demo.sh
# Everything CI runs. FUZZ_SECONDS=60 fuzzes longer; PARTS="unit python" runs only those parts.
test:
	@scripts/test.sh
# What only a GPU can show; skipped with a line where there is none.
test-gpu:
	@scripts/test-gpu.sh
# The quick half of the tests: unit tests and the house rules, under a minute.
check: all
	@cd $(BUILD) && ctest --output-on-failure -j "$$(nproc)"
format:
	@scripts/check-format.sh --fix
# The chat page: web/src -> web/dist, which is committed and embedded, so that the program itself needs no node.
web:
	@scripts/ensure-web.sh build
	@node web/build.mjs
clean:
	rm -rf build build-debug build-asan build-tsan build-fuzz build-arm64 build-gpu
