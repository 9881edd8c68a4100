use std::process::Command;

/// Where the library is: `pkg-config millrace`.
fn main() {
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    let output = Command::new("pkg-config")
        .args(["--variable=libdir", "millrace"])
        .output()
        .expect("pkg-config is needed");
    assert!(output.status.success(), "millrace.pc is not found: set PKG_CONFIG_PATH");
    let directory = String::from_utf8(output.stdout).expect("a path in UTF-8");
    println!("cargo:rustc-link-search=native={}", directory.trim());
    println!("cargo:rustc-link-lib=dylib=millrace");
}
