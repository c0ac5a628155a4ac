# A few verbs over meson. `make` builds build/fairlead; `make demo` and `make test` do all the set-up themselves.
BUILD ?= build
.PHONY: all build asan tsan fuzz check test demo bench man faults clean deps image agnhost-image deb

all: build

# Sources are found by meson when it configures: do that again when a file came or went.
define configure
	@mkdir -p $(1)
	@find src test/unit test/prop test/fuzz bench -name '*.c' 2>/dev/null | sort | cat - src/plugin/order.def meson.build > $(1)/.files.new
	@if [ ! -f $(1)/build.ninja ]; then $(2) meson setup $(1) $(3) > $(1)/setup.log 2>&1 || { cat $(1)/setup.log; exit 1; }; \
	elif ! cmp -s $(1)/.files.new $(1)/.files; then meson setup --reconfigure $(1) > $(1)/setup.log 2>&1 || { tail -20 $(1)/setup.log; exit 1; }; fi
	@mv $(1)/.files.new $(1)/.files
endef

build:
	$(call configure,$(BUILD),,)
	@ninja -C $(BUILD) --quiet

asan:
	$(call configure,build-asan,CC=clang,-Db_sanitize=address$(comma)undefined -Db_lundef=false -Doptimization=1)
	@ninja -C build-asan --quiet

tsan:
	$(call configure,build-tsan,CC=clang,-Db_sanitize=thread -Db_lundef=false -Doptimization=1)
	@ninja -C build-tsan --quiet

fuzz:
	$(call configure,build-fuzz,CC=clang,-Db_sanitize=address$(comma)undefined -Db_lundef=false -Dfuzz=true -Dtests=disabled -Doptimization=1)
	@ninja -C build-fuzz --quiet

comma := ,

# The quick gate: unit and property tests, cases, structure. No network, no root.
check: build
	@tools/check quick

# Everything, with the packages that it needs.
test:
	@tools/deps test
	@$(MAKE) --no-print-directory build
	@tools/check all

demo:
	@tools/deps build
	@echo "building"
	@$(MAKE) --no-print-directory build
	@tools/demo

# A container image from the Debian packages that are installed: build/fairlead-image.tar
image:
	@tools/deps image
	@$(MAKE) --no-print-directory build
	@tools/image --binary $(BUILD)/fairlead --out $(BUILD)/fairlead-image.tar

# The tools as an image that stands in for the Kubernetes tests' agnhost: build/agnhost-image.tar
agnhost-image:
	@tools/deps image
	@$(MAKE) --no-print-directory build
	@tools/image --agnhost --binary $(BUILD)/fairctl --out $(BUILD)/agnhost-image.tar

# The Debian packages: build/fairlead_VERSION_ARCH.deb, build/fairctl_VERSION_ARCH.deb
deb:
	@tools/deps deb
	@$(MAKE) --no-print-directory build
	@tools/deb --binary $(BUILD)/fairlead --out $(BUILD)

bench: build
	@bench/run

faults:
	@tools/faults

man:
	@mkdir -p $(BUILD)/man
	@for f in man/*/*.md; do lowdown -sTman $$f > $(BUILD)/man/$$(basename $$f .md); done

deps:
	@tools/deps test

clean:
	rm -rf build build-asan build-tsan build-fuzz
