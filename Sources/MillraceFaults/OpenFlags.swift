internal import Glibc

/// Of the trace's numbers, those that mean something here.
enum OpenFlags {
  static let truncates = O_TRUNC
  /// O_SYNC holds it as well.
  static let dataSync = O_DSYNC
  static let inputOutputError = Int(EIO)
}
