import Glibc

/// Where plugins are looked for.
///
/// The places, in order: ``paths``, the colon-separated parts of ``environment``, the directory `plugins` beside the
/// program, the program's own directory. A place is a file, taken whatever its name, or a directory, of which every
/// `libmillrace-plugin-*.so` is taken, in the order of their names. In a directory a file is passed over if an earlier
/// place had one of the same name. The first two kinds of places must exist; the last two may be absent.
public struct PluginSearch: Sendable, Hashable {
  /// Plugins in one directory, at most.
  public static let largestDirectory = 256
  /// The variable that names places.
  public static let variable = "MILLRACE_PLUGINS"

  /// Files and directories, as given on the command line or in a configuration.
  public var paths: [String]
  /// The value of ``variable``.
  public var environment: String?
  /// Where the running program is.
  public var programDirectory: String?

  /// Without arguments it looks nowhere: `ofProcess` takes the places of this process.
  public init(paths: [String] = [], environment: String? = nil, programDirectory: String? = nil) {
    self.paths = paths
    self.environment = environment
    self.programDirectory = programDirectory
  }

  /// The search of this process: its environment and its program.
  public static func ofProcess(paths: [String] = []) -> PluginSearch {
    // The value is copied at once.
    let environment = unsafe getenv(variable).map { unsafe String(cString: $0) }
    let program = linkTarget("/proc/self/exe").map { String($0[..<($0.lastIndex(of: "/") ?? $0.startIndex)]) }
    return PluginSearch(paths: paths, environment: environment, programDirectory: program)
  }

  /// The files, in the order in which they are loaded.
  ///
  /// - Throws: `missing` and `unreadable` for a named place, `tooManyPlugins`.
  /// - Complexity: O(entries of the directories).
  public func files() throws(PluginError) -> [String] {
    var files: [String] = []
    var names: Set<Substring> = []
    for place in places {
      guard let found = status(of: place.path) else {
        if place.isNamed {
          throw errno == ENOENT || errno == ENOTDIR ? .missing(path: place.path) : .unreadable(path: place.path, reason: errorText())
        }
        continue
      }
      var offered = [place.path]
      if found.st_mode & S_IFMT == S_IFDIR {
        offered = try Self.plugins(in: place.path).filter { !names.contains(Self.name(of: $0)) }
      }
      files += offered
      names.formUnion(offered.map(Self.name))
    }
    return files
  }

  private var places: [(path: String, isNamed: Bool)] {
    let named = paths + (environment?.split(separator: ":").map(String.init) ?? [])
    let beside = programDirectory.map { [$0 + "/plugins", $0] } ?? []
    return named.map { ($0, true) } + beside.map { ($0, false) }
  }

  private static func name(of path: String) -> Substring { path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...] }

  private static func plugins(in directory: String) throws(PluginError) -> [String] {
    // Closed below; an entry is read before the next call.
    guard let entries = unsafe opendir(directory) else { throw .unreadable(path: directory, reason: errorText()) }
    defer { unsafe closedir(entries) }
    guard let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name) else { preconditionFailure("a C struct has offsets") }
    var names: [String] = []
    while let entry = unsafe readdir(entries) {
      // By address: an entry is only as long as its name, the struct is longer.
      let name = unsafe String(cString: UnsafeRawPointer(entry).advanced(by: nameOffset).assumingMemoryBound(to: CChar.self))
      guard name.hasPrefix("libmillrace-plugin-"), name.hasSuffix(".so") else { continue }
      guard names.count < largestDirectory else { throw .tooManyPlugins(directory: directory, limit: largestDirectory) }
      names.append(name)
    }
    return names.sorted().map { directory + "/" + $0 }
  }
}
