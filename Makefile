# A few verbs over meson. `make` builds build/fairlead; `make demo` and `make test` do all the set-up themselves.
BUILD ?= build
CHECK_ARGS ?=
MESON_SETUP = meson setup
.PHONY: all build check asan tsan lint fuzz demo test bench man clean deps live

all: build

# Sources are found by meson when it configures: do that again when a file came or went.
define configure
	@mkdir -p $(1)
	@find src test/unit test/prop test/fuzz bench -name '*.c' 2>/dev/null | sort | cat - src/plugin/order.def meson.build > $(1)/.files.new
	@if [ ! -f $(1)/build.ninja ]; then $(MESON_SETUP) $(1) $(2) > $(1).log 2>&1 || { cat $(1).log; exit 1; }; mv $(1).log $(1)/setup.log; \
	elif ! cmp -s $(1)/.files.new $(1)/.files; then meson setup --reconfigure $(1) > $(1)/setup.log 2>&1 || { tail -20 $(1)/setup.log; exit 1; }; fi
	@mv $(1)/.files.new $(1)/.files
endef

build:
	$(call configure,$(BUILD),)
	@ninja -C $(BUILD) $(if $(V),-v,--quiet)

clean:
	rm -rf build build-asan build-tsan build-fuzz
