# The few commands people type. `make help` lists them.
.DEFAULT_GOAL := build
PLUGINS := bench debian files replay shell
RELEASE := swift build -c release
TRAITS := --traits Services,Postgres,AMQP
TESTS := swift test $(TRAITS)
# Swift Testing begins all tests at once where nothing bounds it; a Swift task that yields then waits for minutes behind tests that compute.
export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH := 4
# The others are told what to do, and where.
BENCHMARKS := $(filter-out Broker Durable Log Plugins,$(notdir $(wildcard Benchmarks/*)))
TRACES := ../shared/data/wfinstances

# The library for programs in other languages. Each change of an interface that is not only an addition gets a new soname.
PREFIX ?= /usr/local
VERSION := $(shell sed -n 's/.*static let version = "\(.*\)"/\1/p' Sources/Millrace/Engine.swift)
SONAME := libmillrace.so.0
# The one whose setuptools and wheel are Debian's.
PYTHON ?= /usr/bin/python3
# What isolated plugins run in: of libc only, while SwiftPM, which builds it for the tests, would link Swift's runtime into it.
PLUGIN_HOST = clang -std=gnu11 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -pthread -I Sources/CMillrace/include -o "$$($(RELEASE) --show-bin-path)/millrace-plugin-host" \
  Sources/PluginHost/*.c Sources/CMillrace/isolation.c Sources/CMillrace/process.c
EMBEDDED := $(RELEASE) --product millrace-embedding
# SwiftPM links no shared library with the runtime inside. What of it needs naming: the rest is found by what the objects ask for.
RUNTIME := CoreFoundation _FoundationICU _FoundationCShims _FoundationCollections FoundationEssentials FoundationInternationalization dispatch BlocksRuntime

.PHONY: help deps build run libmillrace install wheel test docs bench peers bench-broker bench-plugins bench-topics bench-log bench-durable lint clean build-deps outside

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

deps: ## install the Debian packages that are missing, those of the tests too
	@.ci/deps

build-deps:
	@.ci/deps build

build: build-deps ## the command and its plugins, optimised
	$(RELEASE) --product millrace
	$(PLUGIN_HOST)
	@for plugin in $(PLUGINS); do echo "$(RELEASE) --product millrace-plugin-$$plugin"; \
	  $(RELEASE) --product millrace-plugin-$$plugin || exit; done

run: build ## a census of this machine's packages: the first thing to try
	@"$$($(RELEASE) --show-bin-path)/millrace" run Examples/package-census.yaml --report report

test: deps ## everything: Swift tests, plugins under sanitizers, models, documentation and its programs, style
	swift build --build-tests $(TRAITS)
	$(TESTS) --skip-build
	Tests/PluginChecks/run
	Tests/Models/run
	Tests/Documentation/run
	Tests/Outside/run
	Tests/Embedding/run
	Tests/LogPeers/run
	Tests/DurablePeers/run
	Tests/BrokerPeers/run
	@$(MAKE) --no-print-directory lint

libmillrace: build-deps ## .build/libmillrace.so, for programs in C, Python, Rust and others
	$(EMBEDDED)
	$(PLUGIN_HOST)
	cd "$$($(EMBEDDED) --show-bin-path)" && swiftc -emit-library -static-stdlib -use-ld=lld -module-name MillraceEmbedding \
	  -o $(CURDIR)/.build/libmillrace.so @millrace-embedding.product/Objects.LinkFileList -luv -lcrypto $(RUNTIME:%=-l%) \
	  $(addprefix -Xlinker ,--version-script=$(CURDIR)/Sources/CMillrace/libmillrace.map -soname=$(SONAME) --gc-sections -z defs --strip-all)

install: libmillrace ## libmillrace.so, its headers and millrace.pc to PREFIX=/usr/local; DESTDIR is put before it
	install -d "$(DESTDIR)$(PREFIX)/lib/pkgconfig" "$(DESTDIR)$(PREFIX)/include/millrace"
	install -d "$(DESTDIR)$(PREFIX)/libexec/millrace"
	install -m 755 "$$($(RELEASE) --show-bin-path)/millrace-plugin-host" "$(DESTDIR)$(PREFIX)/libexec/millrace/millrace-plugin-host"
	install -m 755 .build/libmillrace.so "$(DESTDIR)$(PREFIX)/lib/libmillrace.so.$(VERSION)"
	ln -sf libmillrace.so.$(VERSION) "$(DESTDIR)$(PREFIX)/lib/$(SONAME)"
	ln -sf $(SONAME) "$(DESTDIR)$(PREFIX)/lib/libmillrace.so"
	install -m 644 Sources/CMillrace/include/millrace/plugin.h Sources/CMillrace/include/millrace/millrace.h "$(DESTDIR)$(PREFIX)/include/millrace"
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' Sources/CMillrace/millrace.pc.in >"$(DESTDIR)$(PREFIX)/lib/pkgconfig/millrace.pc"
	chmod 644 "$(DESTDIR)$(PREFIX)/lib/pkgconfig/millrace.pc"

wheel: libmillrace ## .build/wheel/millrace-*.whl: the Python package with the library inside, for machines of this kind; PYTHON=/usr/bin/python3
	rm -rf .build/python .build/wheel
	install -d .build/python/millrace
	cp Examples/embed/python/pyproject.toml Examples/embed/python/setup.py .build/python
	cp Examples/embed/python/millrace/*.py Examples/embed/python/millrace/py.typed .build/python/millrace
	install -m 755 .build/libmillrace.so .build/python/millrace/$(SONAME)
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation --wheel-dir .build/wheel .build/python
	@ls .build/wheel/*.whl

docs: deps ## the documentation of the modules as pages, in .build/documentation
	swift build $(TRAITS) --target MillraceTesting
	swift build $(TRAITS) --target MillraceServices
	Tests/Documentation/run .build/documentation
	@echo "python3 -m http.server -d .build/documentation shows it at http://localhost:8000/documentation/millrace"

bench: build ## the benchmarks, one after the other
	@for name in $(BENCHMARKS); do $(RELEASE) --product $${name}Benchmark || exit; done
	@for name in $(BENCHMARKS); do \
	  if [ $$name = Traces ] && [ ! -d $(TRACES) ]; then echo "Traces: skipped, there is no $(TRACES)"; continue; fi; \
	  echo "== $$name"; "$$($(RELEASE) --show-bin-path)/$${name}Benchmark" || exit; done

peers: ## the core beside oneTBB, rayon, tokio, Go and others; ROUNDS=5, WORK=chain,fan, ARGUMENTS=--report-only
	@.ci/deps peers
	$(RELEASE) --product millrace-plugin-bench
	$(RELEASE) --product CoreBenchmark
	@perf/peers/build
	@perf/peers/run $(ARGUMENTS)

bench-log: ## the durable log beside its limit, RocksDB, PostgreSQL, SQLite and LMDB; ROUNDS=5, SECONDS=2, WORK=append-64,replay, DIRECTORY=on/a/disk
	@.ci/deps log-peers
	@if [ -d Benchmarks/Log ]; then $(RELEASE) --product LogBenchmark; fi
	@perf/log/build
	@perf/log/run $(ARGUMENTS)

bench-durable: ## durable workflows beside DBOS and an engine of a page on PostgreSQL; ROUNDS=5, SECONDS=2, WORK=durable-1, DIRECTORY=on/a/disk
	@.ci/deps log-peers
	$(RELEASE) --product DurableBenchmark
	@perf/durable/build
	@perf/durable/run $(ARGUMENTS)

bench-broker: ## the broker beside channels, Disruptor, ZeroMQ, RabbitMQ, Redis and JetStream; ROUNDS=5, SECONDS=1, WORK=msg-1-1,msg-1-4, DIRECTORY=on/a/disk
	@.ci/deps broker-peers
	$(RELEASE) --product BrokerBenchmark
	@perf/broker/build
	@perf/broker/run $(ARGUMENTS)

bench-plugins: ## what a call of a plugin costs, in this process and in one of its own, beside its goal; SECONDS=1
	$(RELEASE) --product PluginBenchmark
	$(RELEASE) --product millrace-plugin-bench
	$(PLUGIN_HOST)
	@"$$($(RELEASE) --show-bin-path)/PluginBenchmark" "$${SECONDS:-1}"

bench-topics: ## only the broker's routes: topics with 10,000 bindings, beside a scan of them all; SECONDS=1, WORK=topic-cold,topic-warm
	$(RELEASE) --product BrokerBenchmark
	@"$$($(RELEASE) --show-bin-path)/BrokerBenchmark" "$${WORK:-topic-cold,topic-warm}" "$${SECONDS:-1}"

lint: ## style of all Swift files
	swift format lint --strict -r Sources Tests Benchmarks Examples plugins Package.swift

clean: ## remove what was built and the report
	rm -rf .build .build-* report
