/* MD5 sums by libcrypto: dpkg's md5sums files hold no other. They find accidents, not attackers. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "census.h"

#define BLOCK_BYTES (256u << 10)

struct md5 {
  EVP_MD *algorithm;
  EVP_MD_CTX *context;
  unsigned char block[BLOCK_BYTES];
};

md5 *md5_new(void) {
  md5 *m = malloc(sizeof *m);
  if (m == NULL) return NULL;
  m->algorithm = EVP_MD_fetch(NULL, "MD5", NULL);
  m->context = EVP_MD_CTX_new();
  if (m->algorithm && m->context) return m;
  md5_free(m);
  return NULL;
}

void md5_free(md5 *m) {
  if (m == NULL) return;
  EVP_MD_CTX_free(m->context);
  EVP_MD_free(m->algorithm);
  free(m);
}

uint32_t md5_refused(millrace_outcome *outcome) {
  return outcome_end(
      outcome, MILLRACE_FAILED, "no-md5",
      "libcrypto gives no MD5, as where only FIPS algorithms are allowed: run the census with `--param sampleMiB=0`, which checks no sums");
}

int md5_in_sample(text path, int64_t permille) {
  uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a, then mixed, for its low bits alone are poor */
  for (size_t i = 0; i < path.length; i++) hash = (hash ^ (unsigned char)path.bytes[i]) * 0x100000001B3u;
  hash = (hash ^ hash >> 33) * 0xFF51AFD7ED558CCDu;
  return (int64_t)((hash ^ hash >> 33) % CENSUS_PERMILLE) < permille;
}

static int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

static int sum_open_file(md5 *m, int descriptor, const char *sum, const millrace_call *call, uint64_t *bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  if (!EVP_DigestInit_ex2(m->context, m->algorithm, NULL)) return MD5_REFUSED;
  for (uint64_t total = 0;;) {
    const ssize_t got = read(descriptor, m->block, sizeof m->block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return MD5_UNREADABLE;
    if (got == 0) break;
    total += (uint64_t)got;
    *bytes += (uint64_t)got;
    if (total > CENSUS_FILE_BYTES) return MD5_UNREADABLE; /* it grows while it is read */
    if (!EVP_DigestUpdate(m->context, m->block, (size_t)got)) return MD5_REFUSED;
    if (call->host->cancelled(call->attempt)) return MD5_CANCELLED;
  }
  if (!EVP_DigestFinal_ex(m->context, digest, &length) || length != 16) return MD5_REFUSED;
  for (unsigned i = 0; i < 16; i++)
    if ((nibble(sum[2 * i]) << 4 | nibble(sum[2 * i + 1])) != digest[i]) return MD5_ALTERED;
  return MD5_SAME;
}

int md5_check(md5 *m, const char *path, const char *sum, const millrace_call *call, uint64_t *bytes) {
  struct stat s;
  /* Links are followed, as md5sum does; O_NONBLOCK: a pipe in the place of a file must not hold the task. */
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? MD5_MISSING : MD5_UNREADABLE;
  int found;
  if (fstat(descriptor, &s) != 0) found = MD5_UNREADABLE;
  else if (!S_ISREG(s.st_mode)) found = MD5_ALTERED; /* a package's sums are of regular files */
  else if ((uint64_t)s.st_size > CENSUS_FILE_BYTES) found = MD5_UNREADABLE;
  else found = sum_open_file(m, descriptor, sum, call, bytes);
  close(descriptor);
  return found;
}
