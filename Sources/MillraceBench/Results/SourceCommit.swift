internal import Glibc
internal import MillraceCore

/// The commit of a source tree, read from its git folder: nothing is started for it, and no git needs to be there.
enum SourceCommit {
  static let unknown = "unknown"
  /// Folders upwards, and names that refer to names.
  private static let depthLimit = 32

  /// 40 or 64 hexadecimal digits, or `unknown`.
  ///
  /// - Parameter folder: anywhere in the tree; its git folder is looked for there and above.
  static func read(from folder: String) -> String {
    guard let git = gitFolder(above: folder) else { return unknown }
    // A second work tree keeps its HEAD by itself, and all else in the folder of the first.
    let common = line(git + "/commondir").map { joined(git, $0) } ?? git
    guard var name = line(git + "/HEAD") else { return unknown }
    for _ in 0..<depthLimit {
      guard name.hasPrefix("ref: ") else { break }
      let reference = name.dropFirst("ref: ".count).drop { $0 == " " }
      guard !reference.split(separator: "/").contains("..") else { return unknown }
      guard let next = line(git + "/" + reference) ?? line(common + "/" + reference) ?? packed(String(reference), in: common) else {
        return unknown
      }
      name = next
    }
    return isHash(name) ? name : unknown
  }

  private static func gitFolder(above folder: String) -> String? {
    var folder = folder
    for _ in 0..<depthLimit {
      let git = folder + "/.git"
      if SmallFile.text(git + "/HEAD") != nil { return git }
      if let text = line(git), text.hasPrefix("gitdir: ") { return joined(folder, String(text.dropFirst("gitdir: ".count))) }
      guard let slash = folder.lastIndex(of: "/") else { return nil }
      folder = String(folder[..<slash])
    }
    return nil
  }

  /// Lines such as "6d83c22... refs/heads/main".
  private static func packed(_ reference: String, in folder: String) -> String? {
    for line in (SmallFile.text(folder + "/packed-refs") ?? "").split(separator: "\n") {
      let fields = line.split(separator: " ")
      if fields.count == 2, fields[1] == reference { return String(fields[0]) }
    }
    return nil
  }

  private static func line(_ path: String) -> String? { SmallFile.text(path)?.split(whereSeparator: \.isNewline).first.map(String.init) }

  private static func joined(_ folder: String, _ path: String) -> String { path.hasPrefix("/") ? path : folder + "/" + path }

  private static func isHash(_ text: String) -> Bool { [40, 64].contains(text.utf8.count) && text.allSatisfy(\.isHexDigit) }

  /// Where the process was started; nil: it cannot be said.
  static var workingFolder: String? {
    var path = [CChar](repeating: 0, count: Int(PATH_MAX))
    // Writes at most so many bytes.
    guard unsafe getcwd(&path, path.count) != nil else { return nil }
    return String(decoding: path.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
