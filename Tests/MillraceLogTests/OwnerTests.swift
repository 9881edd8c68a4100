import MillraceLog
import Testing

@Suite struct OwnerTests {
  @Test("who has a log open for writing is told without a lock: the process while it has it, nobody before and after")
  func owner() throws {
    let folder = Folder()
    let log = try EventLog(DirectoryStorage(folder.path))
    let reader = try DirectoryStorage(folder.path, create: false, way: .sync)
    #expect(reader.owner?.hasPrefix("process ") == true)
    log.close()
    #expect(reader.owner == nil)
    let again = try EventLog(DirectoryStorage(folder.path))
    #expect(reader.owner != nil)
    again.close()
    let empty = Folder()
    #expect(try DirectoryStorage(empty.path, way: .sync).owner == nil)
  }
}
