#include "plugin_templates.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const char header[] = {
#embed "../CMillrace/include/millrace/plugin.h"
};
static const char test[] = {
#embed "../../plugins/templates/test.c"
};
static const char ignored[] = {
#embed "../../plugins/templates/gitignore"
};
static const char c_plugin[] = {
#embed "../../plugins/templates/c/plugin.c"
};
static const char c_make[] = {
#embed "../../plugins/templates/c/Makefile"
};
static const char cpp_plugin[] = {
#embed "../../plugins/templates/cpp/plugin.cpp"
};
static const char cpp_make[] = {
#embed "../../plugins/templates/cpp/Makefile"
};
static const char rust_cargo[] = {
#embed "../../plugins/templates/rust/Cargo.toml"
};
static const char rust_make[] = {
#embed "../../plugins/templates/rust/Makefile"
};
static const char rust_lib[] = {
#embed "../../plugins/templates/rust/src/lib.rs"
};
static const char rust_mirror[] = {
#embed "../../plugins/templates/rust/src/millrace.rs"
};
static const char swift_package[] = {
#embed "../../plugins/templates/swift/Package.swift.txt"
};
static const char swift_make[] = {
#embed "../../plugins/templates/swift/Makefile"
};
static const char swift_plugin[] = {
#embed "../../plugins/templates/swift/Sources/Handlers/Plugin.swift.txt"
};

#define FILE_OF(language, path, text) {language, path, text, sizeof text}
static const plugin_template all[] = {
    FILE_OF("*", "include/millrace/plugin.h", header),
    FILE_OF("*", "test.c", test),
    FILE_OF("*", ".gitignore", ignored),
    FILE_OF("c", "plugin.c", c_plugin),
    FILE_OF("c", "Makefile", c_make),
    FILE_OF("cpp", "plugin.cpp", cpp_plugin),
    FILE_OF("cpp", "Makefile", cpp_make),
    FILE_OF("rust", "Cargo.toml", rust_cargo),
    FILE_OF("rust", "Makefile", rust_make),
    FILE_OF("rust", "src/lib.rs", rust_lib),
    FILE_OF("rust", "src/millrace.rs", rust_mirror),
    FILE_OF("swift", "Package.swift", swift_package),
    FILE_OF("swift", "Makefile", swift_make),
    FILE_OF("swift", "Sources/Handlers/Plugin.swift", swift_plugin),
};

const plugin_template *plugin_template_at(size_t index) { return index < sizeof all / sizeof *all ? &all[index] : NULL; }
