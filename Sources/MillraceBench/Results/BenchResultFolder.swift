internal import Glibc

extension BenchResultFile {
  /// Files of one folder that are read.
  public static let folderLimit = 1_000

  /// A result file, or all of a folder that end in `.json`, by name: several measurements of one subject.
  ///
  /// - Throws: what `read` throws for the first that is refused; or if the folder has none.
  public static func readAll(_ path: String) throws(BenchResultError) -> [BenchResult] {
    guard let names = names(in: path) else { return [try read(path)] }
    let files = names.filter { $0.hasSuffix(".json") && !$0.hasPrefix(".") }.sorted()
    guard !files.isEmpty else { throw BenchResultError(file: path, message: "has no result file (.json) in it") }
    guard files.count <= folderLimit else {
      throw BenchResultError(file: path, message: "has \(files.count) result files, more than \(folderLimit): give a folder with fewer")
    }
    var results: [BenchResult] = []
    for file in files { results.append(try read(path.hasSuffix("/") ? path + file : path + "/" + file)) }
    return results
  }

  /// nil: no folder.
  private static func names(in path: String) -> [String]? {
    guard let folder = unsafe opendir(path) else { return nil }
    // Opened above, closed once; an entry is read before the next is asked for.
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        // Up to its terminator, within the field.
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      names.append(name)
    }
    return names
  }
}
