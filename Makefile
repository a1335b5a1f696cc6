# Makefile of iopool, a PostgreSQL extension
#
#   make, make install, make installcheck   build, install, check a running server (PGXS)
#   make check, make check-unit             while you work: what has changed is compiled, and tested in short
#   make test, make demo, make bench        throw-away clusters; nothing is installed into the system's PostgreSQL
#   make fuzz                               generated queries for SECONDS=60; SEED=n repeats them
#   make test-all                           make test for every supported PostgreSQL and set of libraries
#   make dist                               the last commit as a release: iopool-VERSION.zip, as PGXN wants it
#   make test-packages                      build Debian packages, and try them in a throw-away system
#   make format, make format-check          clang-format
#   make check-layers, make check-docs      rules of the source tree and of the documents
#
# Settings, all on the command line:
#   PG_CONFIG=/path/to/pg_config            the PostgreSQL to build for
#   WITH_LIBURING=auto|yes|no               the method io_uring
#   WITH_LIBAIO=auto|yes|no                 the method libaio
#   WERROR=1                                warnings are errors; for CI, not for packagers

EXTENSION = iopool
MODULE_big = iopool
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
DATA = $(sort $(wildcard sql/iopool--*.sql))
HEADERS = $(wildcard src/iopool_api.h)
PGFILEDESC = "iopool - asynchronous reads of many file ranges"

# Debian keeps pg_config out of PATH unless libpq-dev is installed.
ifeq ($(origin PG_CONFIG),undefined)
PG_CONFIG := $(or $(shell command -v pg_config 2>/dev/null),$(lastword $(sort $(wildcard /usr/lib/postgresql/*/bin/pg_config))),pg_config)
endif

# --------------------------------------------------------------------------
# Tests. "setup" creates the extension and the fixtures, so it comes first.

REGRESS_ALL := $(patsubst sql/%.sql,%,$(filter-out $(DATA),$(sort $(wildcard sql/*.sql))))
REGRESS = $(filter setup,$(REGRESS_ALL)) $(filter-out setup,$(REGRESS_ALL))
# No ISOLATION: the specs need a filesystem that holds reads back, which
# test/t/010_isolation.pl mounts before it runs them.
ifneq ($(wildcard test/t/*.pl),)
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl
# override, because Makefile.global empties it.
override PROVE_FLAGS += -I test
endif

# --------------------------------------------------------------------------
# Targets that work before PostgreSQL is there.

.PHONY: all check check-unit test fuzz test-all test-packages demo bench deps dist format format-check \
	check-layers dist-clean regress-list method-list

all:

test:
	@bash scripts/test.sh

# SECONDS means something else to bash.
fuzz:
	@FUZZ_SECONDS='$(SECONDS)' bash scripts/fuzz.sh

test-all:
	@bash scripts/test-all.sh

test-packages:
	@bash scripts/test-packages.sh

demo:
	@bash scripts/demo.sh

bench:
	@bash scripts/install-deps.sh build bench $(if $(BENCH_MAJOR),roots)
	@bench/run

deps:
	@bash scripts/install-deps.sh build test

# The version of the release, of which that of the extension is the beginning.
DIST := iopool-$(shell sed -n '/"version"/ { s/.*: *"\([^"]*\)".*/\1/p; q }' META.json)

dist:
	git archive --format=zip --prefix=$(DIST)/ --output=$(DIST).zip HEAD

CLANG_FORMAT ?= clang-format
FORMAT_FILES = $(sort $(wildcard src/*.[ch] src/*/*.[ch] test/*.c test/*.h test/*/*.c test/modules/*/*.c scripts/*.c bench/*.c))

format:
	$(CLANG_FORMAT) -i $(FORMAT_FILES)

format-check:
	$(CLANG_FORMAT) --dry-run -Werror $(FORMAT_FILES)

check-layers:
	@bash scripts/check-layers.sh

regress-list:
	@echo $(REGRESS)

STANDALONE = check check-unit test fuzz test-all test-packages demo bench deps dist format format-check check-layers regress-list

# --------------------------------------------------------------------------

ifneq ($(filter-out $(STANDALONE),$(or $(MAKECMDGOALS),all)),)

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(wildcard $(PGXS)),)
$(error PostgreSQL's extension build files were not found by "$(PG_CONFIG) --pgxs". Run "make deps" as root, or give PG_CONFIG=/path/to/pg_config)
endif
PGXS_GLOBAL := $(dir $(PGXS))../Makefile.global

# The compiler that PGXS will use: an environment variable CC does not count.
ifneq ($(filter command override,$(firstword $(origin CC))),)
PROBE_CC := $(CC)
else
PROBE_CC := $(shell $(PG_CONFIG) --cc)
endif

# $(call can_link,header,expression,library): yes or no. \043 is "#", which
# versions of make before 4.3 take for a comment.
can_link = $(shell printf '\043include <%s>\nint main(void) { return %s; }\n' '$(1)' '$(2)' \
	| $(PROBE_CC) -x c - -o /dev/null $(3) >/dev/null 2>&1 && echo yes || echo no)

# $(call decide,variable,name,header,expression,library)
define decide
ifeq ($$(filter yes no auto,$$($(1))),)
$$(error $(1) must be yes, no or auto, not "$$($(1))")
endif
ifneq ($$($(1)),no)
FOUND_$(1) := $$(call can_link,$(3),$(4),$(5))
ifeq ($$($(1))-$$(FOUND_$(1)),yes-no)
$$(error $(1)=yes, but a program with $(3) and $(5) does not compile and link; install $(2))
endif
else
FOUND_$(1) := no
endif
endef

WITH_LIBURING ?= auto
WITH_LIBAIO ?= auto
comma := ,
$(eval $(call decide,WITH_LIBURING,liburing-dev,liburing.h,io_uring_queue_init(1$(comma) 0$(comma) 0),-luring))
$(eval $(call decide,WITH_LIBAIO,libaio-dev,libaio.h,io_setup(1$(comma) 0),-laio))

IOPOOL_VERSION := $(shell sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" iopool.control)
# Our headers are named by folder, "ring/pool.h".
PG_CPPFLAGS = -iquote $(srcdir)/src -DIOPOOL_VERSION='"$(IOPOOL_VERSION)"'

ifeq ($(FOUND_WITH_LIBURING),yes)
PG_CPPFLAGS += -DIOPOOL_WITH_LIBURING=1
SHLIB_LINK += -luring
endif
ifeq ($(FOUND_WITH_LIBAIO),yes)
PG_CPPFLAGS += -DIOPOOL_WITH_LIBAIO=1
SHLIB_LINK += -laio
endif

method-list:
	@echo $(if $(filter yes,$(FOUND_WITH_LIBURING)),io_uring) $(if $(filter yes,$(FOUND_WITH_LIBAIO)),libaio) sync

# PostgreSQL 15 neither hides a module's symbols nor marks those it needs.
ifeq ($(shell grep -l 'fvisibility=hidden' $(PGXS_GLOBAL)),)
PG_CFLAGS += -fvisibility=hidden
PG_CPPFLAGS += -DPGDLLEXPORT='__attribute__((visibility("default")))'
endif

ifneq ($(findstring clang,$(shell $(PROBE_CC) --version 2>/dev/null)),)
# pg_config hands over the flags of the compiler that built the server: gcc's.
PG_CFLAGS += -Wno-unknown-warning-option -Wno-ignored-optimization-argument
endif

ifeq ($(WERROR),1)
PG_CFLAGS += -Wall -Wextra -Werror
# Callbacks and SQL functions have the server's signatures, needed or not.
PG_CFLAGS += -Wno-unused-parameter
# The server's headers do not promise to be free of -Wextra's warnings. A
# directory that is named by -I and by -isystem counts as a system directory.
PG_CPPFLAGS += -isystem $(shell $(PG_CONFIG) --includedir-server)
endif

# Bitcode only serves JIT inlining. Leave it out where the LLVM tools that the
# server was built with are missing. Makefile.global sets with_llvm and
# pgxs.mk tests it, so only an override set beforehand reaches both.
pgxs_var = $(shell sed -n 's/^$(1) *= *//p' $(PGXS_GLOBAL))
ifneq ($(origin with_llvm),command line)
ifeq ($(call pgxs_var,with_llvm),yes)
ifeq ($(and $(shell command -v $(call pgxs_var,CLANG)),$(wildcard $(call pgxs_var,LLVM_BINPATH)/llvm-lto)),)
override with_llvm := no
endif
endif
endif

BUILD_ID = .iopool-build
EXTRA_CLEAN = $(BUILD_ID) src/*.o src/*.bc src/*/*.o src/*/*.bc results regression.diffs regression.out

include $(PGXS)

# PGXS knows no header dependencies, and nothing in it notices that the
# settings of this run differ from those of the last one.
$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h src/*/*.h) $(BUILD_ID)
$(MODULE_big)$(DLSUFFIX): $(BUILD_ID)

export IOPOOL_BUILD_ID := $(shell $(PG_CONFIG) --version --includedir-server --pkglibdir) $(CC) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) $(SHLIB_LINK) $(OBJS)

$(BUILD_ID): FORCE
	@printf '%s\n' "$$IOPOOL_BUILD_ID" | cmp -s - $@ || printf '%s\n' "$$IOPOOL_BUILD_ID" >$@

.PHONY: FORCE
FORCE:

# Bitcode of an earlier install would be inlined in place of the new code.
.PHONY: remove-stale-bitcode
remove-stale-bitcode:
	@rm -rf '$(DESTDIR)$(bitcodedir)/$(MODULE_big)' '$(DESTDIR)$(bitcodedir)/$(MODULE_big).index.bc'
install: remove-stale-bitcode

dist-clean: distclean
	rm -rf tmp_check log build

else

# Here, because PGXS has a target of this name that only says that there is none.
# One method and mode stand for all of them.
QUICK = IOPOOL_OBJECTS='$(CURDIR)/build/objects' METHODS="$${METHODS:-first}" MODES="$${MODES:-buffered}"

check:
	@$(QUICK) ONLY="$${ONLY:-regress unit}" bash scripts/test.sh

check-unit:
	@$(QUICK) ONLY=unit bash scripts/test.sh

endif
