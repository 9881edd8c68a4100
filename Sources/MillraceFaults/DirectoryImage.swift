internal import Foundation

/// The files below a directory, as bytes.
public struct DirectoryImage: Equatable, Sendable {
  /// Paths from the directory.
  public var files: [String: [UInt8]] = [:]
  public var directories: Set<String> = []

  public init() {}

  /// What a directory holds now. Links to other files are not followed; they and other special files are refused.
  public init(reading directory: String) throws {
    for path in try FileManager.default.subpathsOfDirectory(atPath: directory) {
      let full = directory + "/" + path
      switch try FileManager.default.attributesOfItem(atPath: full)[.type] as? FileAttributeType {
      case .typeDirectory?: directories.insert(path)
      case .typeRegular?: files[path] = try Array(Data(contentsOf: URL(filePath: full)))
      default: throw CocoaError(.fileReadUnknown, userInfo: [NSFilePathErrorKey: full])
      }
    }
  }

  /// Makes the directory, which must not exist, and all in it.
  public func write(to directory: String) throws {
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
    for path in directories.sorted() {
      try FileManager.default.createDirectory(atPath: directory + "/" + path, withIntermediateDirectories: false)
    }
    for (path, bytes) in files { try Data(bytes).write(to: URL(filePath: directory + "/" + path)) }
  }
}
