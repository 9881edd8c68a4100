/* Makes every call that the tools wrap, once each, on files of a directory: so that none of them can be missed unseen.
 *
 *   calls DIRECTORY
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* What the headers make of calls when they check them. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int fd, const char *path, int flags);
int __openat64_2(int fd, const char *path, int flags);
ssize_t __read_chk(int fd, void *to, size_t count, size_t room);
ssize_t __pread_chk(int fd, void *to, size_t count, off_t offset, size_t room);
ssize_t __pread64_chk(int fd, void *to, size_t count, off64_t offset, size_t room);
extern __typeof__(open) __open, __open64;
extern __typeof__(read) __read;
extern __typeof__(write) __write;
extern __typeof__(pread64) __pread64;
extern __typeof__(pwrite64) __pwrite64;

static int number;
static long must(long result) {
  number++;
  if (result >= 0) return result;
  fprintf(stderr, "call %d: %m\n", number);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 2 || chdir(argv[1]) != 0) return 64;
  char bytes[64] = "bytes";
  struct iovec parts[2] = {{bytes, 3}, {bytes + 3, 2}};

  must(mkdir("one", 0755));
  must(mkdirat(AT_FDCWD, "two", 0755));
  int d = (int)must(open(".", O_RDONLY | O_DIRECTORY));
  must(open("one/..", O_RDONLY | O_DIRECTORY));
  must(open("..", O_RDONLY | O_DIRECTORY)); /* not of the directory */
  must(creat("a", 0644));
  must(creat64("b", 0644));
  must(open64("b", O_RDWR | O_CREAT, 0644));
  must(openat(d, "c", O_RDWR | O_CREAT, 0644));
  must(openat64(d, "one/d", O_RDWR | O_CREAT, 0644));
  must(__open_2("a", O_RDWR));
  must(__open64_2("a", O_RDWR));
  must(__openat_2(d, "a", O_RDWR));
  must(__openat64_2(d, "a", O_RDWR));
  must(__open("a", O_RDWR));
  int f = (int)must(__open64("a", O_RDWR));

  must(write(f, bytes, 5));
  must(__write(f, bytes, 5));
  must(pwrite(f, bytes, 5, 100));
  must(pwrite64(f, bytes, 5, 200));
  must(__pwrite64(f, bytes, 5, 300));
  must(writev(f, parts, 2));
  must(pwritev(f, parts, 2, 400));
  must(pwritev64(f, parts, 2, 500));
  must(pwritev2(f, parts, 2, 600, RWF_DSYNC));
  must(pwritev64v2(f, parts, 2, 700, 0));

  must(read(f, bytes, 5));
  must(__read(f, bytes, 5));
  must(__read_chk(f, bytes, 5, 64));
  must(pread(f, bytes, 5, 0));
  must(pread64(f, bytes, 5, 0));
  must(__pread64(f, bytes, 5, 0));
  must(__pread_chk(f, bytes, 5, 0, 64));
  must(__pread64_chk(f, bytes, 5, 0, 64));
  must(readv(f, parts, 2));
  must(preadv(f, parts, 2, 0));
  must(preadv64(f, parts, 2, 0));
  must(preadv2(f, parts, 2, 0, 0));
  must(preadv64v2(f, parts, 2, 0, 0));

  must(fallocate(f, 0, 0, 8192));
  must(fallocate64(f, FALLOC_FL_KEEP_SIZE, 0, 8192));
  must(-posix_fallocate(f, 0, 8192));
  must(-posix_fallocate64(f, 0, 8192));
  must(ftruncate(f, 5000));
  must(ftruncate64(f, 6000));
  must(truncate("a", 7000));
  must(truncate64("a", 8000));

  must(fsync(f));
  must(fdatasync(f));
  must(sync_file_range(f, 0, 0, SYNC_FILE_RANGE_WRITE));
  must(syncfs(f));
  must(fsync(d));

  must(link("a", "one/a"));
  must(linkat(d, "a", d, "two/a", 0));
  must(symlink("a", "s"));
  must(symlinkat("a", d, "t"));
  must(rename("b", "one/b"));
  must(renameat(d, "one/b", d, "two/b"));
  must(renameat2(d, "two/b", d, "b", RENAME_NOREPLACE));
  must(unlink("s"));
  must(unlinkat(d, "t", 0));
  must(remove("b"));
  must(mkdir("three", 0755));
  must(unlinkat(d, "three", AT_REMOVEDIR));
  must(unlink("one/a"));
  must(unlink("one/d"));
  must(rmdir("one"));
  return 0;
}
