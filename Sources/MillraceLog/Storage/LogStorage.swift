/// Where a log keeps its files: a directory, or in tests a disk that loses what was not synced.
///
/// Names are flat. What a call has promised when it returns survives a crash; nothing else does: files and names that were not synced may be there, wholly or in
/// part, or not.
///
/// # Threads
/// Any; never two writes to one place of a file at once.
public protocol LogStorage: AnyObject, Sendable {
  /// Bytes that the disk writes at once, a power of two, 4,096 at least: no write of a log shares such a piece with another.
  var unit: Int { get }

  /// What is there, in no order.
  func names() throws(StorageError) -> [String]

  /// A new file of `bytes` bytes, all zero, with its room taken and on stable storage (its name is not: `syncNames`). Throws `EEXIST` if there is one.
  /// `pace` is asked before each piece, with the bytes that are written, for the most that may be written next, and may take its time: with 0, the file is
  /// removed and `ECANCELED` thrown.
  func create(_ name: String, bytes: Int, pace: (Int) -> Int) throws(StorageError) -> any LogFile

  /// Opens a file that is there. One for reading sees what was written by another that was opened for writing.
  func open(_ name: String, writing: Bool) throws(StorageError) -> any LogFile

  /// Gives a file another name, which must be free.
  func rename(_ name: String, to other: String) throws(StorageError)

  /// Removes a file. Whoever has it open may go on reading.
  func remove(_ name: String) throws(StorageError)

  /// When it returns, all names are on stable storage as they are.
  func syncNames() throws(StorageError)

  /// Nobody else may open a log here until `unlock`, or the end of the process. `owner`: a line for whoever is refused. Throws `EWOULDBLOCK` with the other owner's line.
  func lock(owner: String) throws(StorageError)
  /// Gives the lock back, if it is held.
  func unlock()
}

/// One file of a log. Closed when nobody refers to it any more.
public protocol LogFile: AnyObject, Sendable {
  /// Its length.
  var bytes: Int { get }

  /// Fills `buffer` from `offset` on. Fewer bytes only at the end of the file.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(StorageError) -> Int

  /// Writes all of `bytes`, and returns when they are on stable storage. `bytes` and `offset` are multiples of the unit, and so is the address. After an error nobody
  /// knows what is there.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StorageError)
}
