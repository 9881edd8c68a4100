import Glibc

/// Where the program is that isolated plugins run in.
enum PluginHostProgram {
  static let name = "millrace-plugin-host"
  /// The variable that names it.
  static let variable = "MILLRACE_PLUGIN_HOST"

  /// The named one, that of the variable, that beside this program, that in `../libexec/millrace`; one that is named must be there. Throws `noPluginHost`.
  static func find(_ named: String?, plugin path: String) throws(PluginError) -> String {
    // The value is copied at once.
    let wanted = named ?? (unsafe getenv(variable).map { unsafe String(cString: $0) })
    let program = linkTarget("/proc/self/exe") ?? ""
    let directory = String(program[..<(program.lastIndex(of: "/") ?? program.startIndex)])
    let places = wanted.map { [$0] } ?? ["\(directory)/\(name)", "\(directory)/../libexec/millrace/\(name)"]
    guard let found = places.first(where: { unsafe access($0, X_OK) == 0 }) else { throw .noPluginHost(path: path, places: places) }
    return found
  }
}
