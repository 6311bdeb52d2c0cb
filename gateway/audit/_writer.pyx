# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""`PythonCore` of `writer.py`, compiled: a queue of leaves and the loop that makes them durable; see there for what it
promises.

Theory of operation. `push` copies the leaf behind a hole for its frame's head into the queue's buffer, under a POSIX
mutex. The writer's thread waits on a condition, swaps that buffer for its empty one, fills in the heads, hashes, and
writes leaves, commit and zeros with one call and one flush. It takes the interpreter's lock only to leave `run`: for
the next segment, for the end, for an error. The loop hears of durable records through an eventfd.

Where the segment has a direct descriptor (`O_DIRECT | O_DSYNC`), a batch is one call: whole blocks, the first of which
begins with what earlier batches left in it, the last filled up with the zeros that are there already. Else it is a
write and a flush.

SHA-256 follows FIPS 180-4, the tree RFC 6962 section 2.1, CRC-32 is that of zlib (ISO 3309).

INVARIANT: `durable` grows only after the flush of the commit returned, under the mutex, and never after `fail`.
INVARIANT: nothing is written again after an error: `run` is not called any more.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR, EIO, ENOMEM, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove, memset


cdef extern from *:
    r"""
    #include <errno.h>
    #include <pthread.h>
    #include <stdint.h>
    #include <string.h>
    #include <time.h>
    #include <unistd.h>
    #if defined(__x86_64__) && defined(__GNUC__)
    #include <cpuid.h>
    #include <immintrin.h>
    #define HAVE_SHA_NI 1
    #endif

    static inline void put32(uint8_t *at, uint32_t value) {
        value = __builtin_bswap32(value);
        memcpy(at, &value, 4);
    }

    static inline uint32_t get32(const uint8_t *at) {
        uint32_t value;
        memcpy(&value, at, 4);
        return __builtin_bswap32(value);
    }

    static inline void put64(uint8_t *at, uint64_t value) {
        value = __builtin_bswap64(value);
        memcpy(at, &value, 8);
    }

    /* CRC-32, eight bytes at a time. */

    static uint32_t crc_table[8][256];

    static void crc_prepare(void) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t crc = i;
            for (int bit = 0; bit < 8; bit++)
                crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
            crc_table[0][i] = crc;
        }
        for (int row = 1; row < 8; row++)
            for (int i = 0; i < 256; i++)
                crc_table[row][i] = crc_table[row - 1][i] >> 8 ^ crc_table[0][crc_table[row - 1][i] & 0xff];
    }

    static uint32_t crc_of(uint32_t crc, const uint8_t *data, size_t length) {
        crc = ~crc;
        while (length >= 8) {
            uint32_t low = crc ^ __builtin_bswap32(get32(data)), high = __builtin_bswap32(get32(data + 4));
            crc = crc_table[7][low & 0xff] ^ crc_table[6][low >> 8 & 0xff] ^ crc_table[5][low >> 16 & 0xff]
                ^ crc_table[4][low >> 24] ^ crc_table[3][high & 0xff] ^ crc_table[2][high >> 8 & 0xff]
                ^ crc_table[1][high >> 16 & 0xff] ^ crc_table[0][high >> 24];
            data += 8;
            length -= 8;
        }
        while (length--)
            crc = crc >> 8 ^ crc_table[0][(crc ^ *data++) & 0xff];
        return ~crc;
    }

    /* SHA-256. */

    static const uint32_t sha_k[64] __attribute__((aligned(16))) = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
    };

    #define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))

    static void sha_plain(uint32_t *state, const uint8_t *data, size_t blocks) {
        uint32_t w[64];
        while (blocks--) {
            for (int t = 0; t < 16; t++)
                w[t] = get32(data + 4 * t);
            for (int t = 16; t < 64; t++) {
                uint32_t x = w[t - 15], y = w[t - 2];
                w[t] = w[t - 16] + w[t - 7] + (ROTATE(x, 7) ^ ROTATE(x, 18) ^ x >> 3)
                    + (ROTATE(y, 17) ^ ROTATE(y, 19) ^ y >> 10);
            }
            uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
            uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
            for (int t = 0; t < 64; t++) {
                uint32_t one = h + (ROTATE(e, 6) ^ ROTATE(e, 11) ^ ROTATE(e, 25)) + ((e & f) ^ (~e & g))
                    + sha_k[t] + w[t];
                uint32_t two = (ROTATE(a, 2) ^ ROTATE(a, 13) ^ ROTATE(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
                h = g; g = f; f = e; e = d + one;
                d = c; c = b; b = a; a = one + two;
            }
            state[0] += a; state[1] += b; state[2] += c; state[3] += d;
            state[4] += e; state[5] += f; state[6] += g; state[7] += h;
            data += 64;
        }
    }

    #ifdef HAVE_SHA_NI
    __attribute__((target("sha,sse4.1,ssse3")))
    static void sha_ni(uint32_t *state, const uint8_t *data, size_t blocks) {
        const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
        /* the instructions want the state as ABEF and CDGH */
        __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
        __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
        __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0), w[4];
        while (blocks--) {
            __m128i abef_before = abef, cdgh_before = cdgh;
            for (int i = 0; i < 4; i++)
                w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), swap);
            #pragma GCC unroll 16
            for (int i = 0; i < 16; i++) {
                __m128i now = w[i & 3], last = w[(i + 3) & 3];
                __m128i sum = _mm_add_epi32(now, _mm_load_si128((const __m128i *)(sha_k + 4 * i)));
                cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
                abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
                if (i < 12) {
                    now = _mm_add_epi32(_mm_sha256msg1_epu32(now, w[(i + 1) & 3]),
                                        _mm_alignr_epi8(last, w[(i + 2) & 3], 4));
                    w[i & 3] = _mm_sha256msg2_epu32(now, last);
                }
            }
            abef = _mm_add_epi32(abef, abef_before);
            cdgh = _mm_add_epi32(cdgh, cdgh_before);
            data += 64;
        }
        low = _mm_shuffle_epi32(abef, 0x1b);
        high = _mm_shuffle_epi32(cdgh, 0xb1);
        _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(low, high, 0xf0));
        _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(high, low, 8));
    }
    #endif

    static void (*sha_blocks)(uint32_t *, const uint8_t *, size_t) = sha_plain;

    static int sha_prepare(int wanted) {
        sha_blocks = sha_plain;
    #ifdef HAVE_SHA_NI
        unsigned a, b, c, d, b7, c7, d7;
        if (wanted && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1) && (c & bit_SSSE3)
            && __get_cpuid_count(7, 0, &a, &b7, &c7, &d7) && (b7 & 1u << 29))
            sha_blocks = sha_ni;
    #endif
        return sha_blocks != sha_plain;
    }

    /* The digest of a prefix byte, unless it is negative, and the data. */
    static void sha_of(int prefix, const uint8_t *data, size_t length, uint8_t *digest) {
        uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
        uint8_t block[128];
        size_t filled = prefix >= 0, whole = length + filled, end;
        block[0] = (uint8_t)prefix;
        if (filled && whole >= 64) {
            memcpy(block + 1, data, 63);
            sha_blocks(state, block, 1);
            data += 63;
            length -= 63;
            filled = 0;
        }
        if (!filled && length >= 64) {
            sha_blocks(state, data, length / 64);
            data += length & ~(size_t)63;
            length &= 63;
        }
        memcpy(block + filled, data, length);
        filled += length;
        block[filled++] = 0x80;
        end = filled <= 56 ? 64 : 128;
        memset(block + filled, 0, end - filled);
        put64(block + end - 8, (uint64_t)whole * 8);
        sha_blocks(state, block, end / 64);
        for (int i = 0; i < 8; i++)
            put32(digest + 4 * i, state[i]);
    }

    /* All of it, in as many calls as the kernel wants; 0 or an error number. */
    static int write_all(int descriptor, const uint8_t *data, size_t length, uint64_t offset) {
        while (length) {
            ssize_t got = pwrite(descriptor, data, length, (off_t)offset);
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0)
                return got ? errno : EIO;
            data += got;
            length -= (size_t)got;
            offset += (uint64_t)got;
        }
        return 0;
    }

    static void conditions_prepare(pthread_mutex_t *mutex, pthread_cond_t *one, pthread_cond_t *two) {
        pthread_condattr_t attributes;
        pthread_mutex_init(mutex, NULL);
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_cond_init(one, &attributes);
        pthread_cond_init(two, &attributes);
        pthread_condattr_destroy(&attributes);
    }

    static int64_t now_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }

    /* Waits until that moment at the latest; whether it came. */
    static int wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t deadline_ns) {
        struct timespec until = {deadline_ns / 1000000000, deadline_ns % 1000000000};
        return pthread_cond_timedwait(condition, mutex, &until) == ETIMEDOUT;
    }
    """
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    void put32(uint8_t *at, uint32_t value) noexcept nogil
    uint32_t get32(const uint8_t *at) noexcept nogil
    void put64(uint8_t *at, uint64_t value) noexcept nogil
    void crc_prepare() noexcept nogil
    uint32_t crc_of(uint32_t crc, const uint8_t *data, size_t length) noexcept nogil
    int sha_prepare(int wanted) noexcept nogil
    void sha_of(int prefix, const uint8_t *data, size_t length, uint8_t *digest) noexcept nogil
    int write_all(int descriptor, const uint8_t *data, size_t length, uint64_t offset) noexcept nogil
    void conditions_prepare(pthread_mutex_t *mutex, pthread_cond_t *one, pthread_cond_t *two) noexcept nogil
    int64_t now_ns() noexcept nogil
    bint wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t deadline_ns) noexcept nogil
    int pthread_mutex_lock(pthread_mutex_t *mutex) noexcept nogil
    int pthread_mutex_unlock(pthread_mutex_t *mutex) noexcept nogil
    int pthread_mutex_destroy(pthread_mutex_t *mutex) noexcept nogil
    int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) noexcept nogil
    int pthread_cond_signal(pthread_cond_t *condition) noexcept nogil
    int pthread_cond_broadcast(pthread_cond_t *condition) noexcept nogil
    int pthread_cond_destroy(pthread_cond_t *condition) noexcept nogil
    int fdatasync(int descriptor) noexcept nogil
    ssize_t pread(int descriptor, void *data, size_t length, int64_t offset) noexcept nogil
    int posix_memalign(void **data, size_t alignment, size_t length) noexcept nogil
    ssize_t write(int descriptor, const void *data, size_t length) noexcept nogil
    ssize_t read(int descriptor, void *data, size_t length) noexcept nogil


cdef enum:
    # what `run` returns; the names are in writer.py
    ROLL = 1
    COMMITTED = 2
    END = 3
    FRAME_BYTES = 12
    COMMIT_BYTES = 60
    # what direct writes are aligned to, in memory and in the file
    BLOCK = 4096
    # buffers that one burst made larger than this are given back
    KEEP_BYTES = 4 << 20

# So many who waited at the last commit make a crowd, and so long three quarters of it are waited for at the most. Without,
# a batch under 32 clients was two or three statements, each with a write and two wake-ups; 0.15 and 0.6 ms did as well.
cdef size_t CROWD = 4
cdef int64_t DELAY_NS = 300_000

cdef struct Buffer:
    uint8_t *data
    size_t used
    size_t room


cdef bint reserve(Buffer *buffer, size_t more) noexcept nogil:
    cdef size_t room = buffer.room
    cdef void *data
    if buffer.used + more <= room:
        return True
    while room < buffer.used + more:
        room = 2 * room if room else 65536
    data = realloc(buffer.data, room)
    if data == NULL:
        return False
    buffer.data, buffer.room = <uint8_t *>data, room
    return True


cdef void empty(Buffer *buffer) noexcept nogil:
    buffer.used = 0
    if buffer.room > KEEP_BYTES:
        free(buffer.data)
        buffer.data, buffer.room = NULL, 0


cdef class Core:
    """See `PythonCore`. `signal` is an eventfd to write to after each commit, or negative."""

    # under the mutex
    cdef pthread_mutex_t mutex
    cdef pthread_cond_t wake, settled
    cdef Buffer queue, unsigned
    cdef size_t payload, waiting, wanted
    cdef bint urgent, asleep, stopping, failed, signalled
    cdef uint64_t committed
    cdef uint8_t head[32]
    # the writer's
    cdef Buffer taken, hashes
    cdef size_t at, staged, taken_waiting, crowd
    cdef uint8_t *stage
    cdef uint64_t size, begin
    cdef uint8_t subtrees[64][32]
    cdef int descriptor, direct, height
    cdef bint fresh
    # constant
    cdef size_t batch_bytes
    cdef uint64_t segment_bytes
    cdef int signal

    def __cinit__(self, size_t batch_bytes, uint64_t segment_bytes, int signal):
        conditions_prepare(&self.mutex, &self.wake, &self.settled)
        self.batch_bytes, self.segment_bytes, self.signal = batch_bytes, segment_bytes, signal
        self.descriptor = self.direct = -1
        self.root(self.head)

    def __dealloc__(self):
        free(self.queue.data)
        free(self.taken.data)
        free(self.unsigned.data)
        free(self.hashes.data)
        free(self.stage)
        pthread_cond_destroy(&self.wake)
        pthread_cond_destroy(&self.settled)
        pthread_mutex_destroy(&self.mutex)

    @property
    def durable(self):
        pthread_mutex_lock(&self.mutex)
        cdef uint64_t committed = self.committed
        pthread_mutex_unlock(&self.mutex)
        return committed

    @property
    def offset(self):
        return self.begin

    def push(self, bytes leaf not None, bint urgent):
        cdef size_t length = PyBytes_GET_SIZE(leaf)
        cdef bint wake = False
        cdef uint8_t *place
        pthread_mutex_lock(&self.mutex)
        if self.stopping or self.failed:
            pthread_mutex_unlock(&self.mutex)
            return False
        if not reserve(&self.queue, FRAME_BYTES + length):
            pthread_mutex_unlock(&self.mutex)
            raise MemoryError
        place = self.queue.data + self.queue.used
        memcpy(place, b"leaf", 4)
        put32(place + 4, <uint32_t>length)
        memcpy(place + FRAME_BYTES, PyBytes_AS_STRING(leaf), length)
        self.queue.used += FRAME_BYTES + length
        self.payload += length
        if urgent:
            self.waiting += 1
        if urgent or self.payload > self.batch_bytes:
            self.urgent = True
            wake = self.asleep and self.waiting >= self.wanted
            if wake:
                self.asleep = False
        pthread_mutex_unlock(&self.mutex)
        if wake:
            pthread_cond_signal(&self.wake)
        return True

    def hurry(self):
        pthread_mutex_lock(&self.mutex)
        self.urgent = True
        pthread_mutex_unlock(&self.mutex)
        pthread_cond_signal(&self.wake)

    def wait(self, uint64_t size, double timeout_s):
        cdef int64_t end = now_ns() + <int64_t>(timeout_s * 1e9)
        cdef bint done = False, late = False
        self.hurry()
        while not done and not late:
            with nogil:
                pthread_mutex_lock(&self.mutex)
                if self.committed < size and not self.failed:
                    # now and then it looks for signals
                    wait_until(&self.settled, &self.mutex, min(end, now_ns() + 50_000_000))
                done = self.committed >= size or self.failed
                pthread_mutex_unlock(&self.mutex)
                late = now_ns() >= end
            PyErr_CheckSignals()
        return self.committed >= size and not self.failed

    def collect(self):
        cdef uint64_t count, committed
        if self.signal >= 0:
            read(self.signal, &count, 8)
        pthread_mutex_lock(&self.mutex)
        self.signalled = False
        committed = self.committed
        pthread_mutex_unlock(&self.mutex)
        return committed

    def take_unsigned(self):
        cdef Buffer mine
        cdef Buffer none = [NULL, 0, 0]
        cdef uint8_t root[32]
        cdef uint64_t size
        cdef size_t i
        pthread_mutex_lock(&self.mutex)
        mine, self.unsigned = self.unsigned, none
        size = self.committed
        memcpy(root, self.head, 32)
        pthread_mutex_unlock(&self.mutex)
        try:
            hashes = [PyBytes_FromStringAndSize(<char *>mine.data + 32 * i, 32) for i in range(mine.used // 32)]
        finally:
            free(mine.data)
        return hashes, size, PyBytes_FromStringAndSize(<char *>root, 32)

    def fail(self):
        pthread_mutex_lock(&self.mutex)
        self.failed = True
        pthread_mutex_unlock(&self.mutex)
        pthread_cond_signal(&self.wake)
        pthread_cond_broadcast(&self.settled)

    def stop(self):
        pthread_mutex_lock(&self.mutex)
        self.stopping = True
        pthread_mutex_unlock(&self.mutex)
        pthread_cond_signal(&self.wake)

    def resume(self, uint64_t size, list subtrees, list unsigned):
        cdef bytes digest
        if len(subtrees) != size.bit_count() or not all(len(digest) == 32 for digest in [*subtrees, *unsigned]):
            raise ValueError("the hashes do not fit the size")
        for digest in unsigned:
            if not reserve(&self.unsigned, 32):
                raise MemoryError
            memcpy(self.unsigned.data + self.unsigned.used, PyBytes_AS_STRING(digest), 32)
            self.unsigned.used += 32
        self.height = 0
        for digest in subtrees:
            memcpy(self.subtrees[self.height], PyBytes_AS_STRING(digest), 32)
            self.height += 1
        self.size = self.committed = size
        self.root(self.head)

    def use(self, int descriptor, uint64_t offset, bint fresh, int direct=-1):
        cdef size_t behind = offset % BLOCK
        self.descriptor, self.direct, self.begin, self.fresh = descriptor, direct, offset, fresh
        if direct < 0:
            return
        if not self.make_stage(BLOCK):
            raise MemoryError
        if behind and pread(descriptor, self.stage, behind, <int64_t>(offset - behind)) != <ssize_t>behind:
            raise OSError(EIO, os.strerror(EIO))

    def frontier(self):
        return self.size, [PyBytes_FromStringAndSize(<char *>self.subtrees[i], 32) for i in range(self.height)]

    def run(self, bint once):
        cdef int outcome
        with nogil:
            outcome = self.loop(once)
        if outcome < 0:
            raise OSError(-outcome, os.strerror(-outcome))
        return outcome

    cdef int loop(self, bint once) noexcept nogil:
        cdef int outcome
        while True:
            if self.at == self.taken.used and not self.take():
                return END
            outcome = self.commit()
            if outcome != COMMITTED or once:
                return outcome

    cdef bint take(self) noexcept nogil:
        """Wait for leaves and take all that there are; False at the end."""
        cdef Buffer spare
        self.at = 0
        empty(&self.taken)
        pthread_mutex_lock(&self.mutex)
        while True:
            if self.failed or (self.stopping and not self.queue.used):
                pthread_mutex_unlock(&self.mutex)
                return False
            if self.queue.used and (self.urgent or self.stopping):
                break
            self.urgent = False
            self.asleep = True
            pthread_cond_wait(&self.wake, &self.mutex)
            self.asleep = False
        if self.crowd >= CROWD:
            self.gather()
        spare, self.taken, self.queue = self.taken, self.queue, self.taken
        self.taken_waiting = self.waiting
        self.payload = self.waiting = 0
        self.urgent = False
        pthread_mutex_unlock(&self.mutex)
        return True

    cdef void gather(self) noexcept nogil:
        """Let a batch become three quarters of those who waited at the last commit, within a moment."""
        cdef int64_t end = now_ns() + DELAY_NS
        self.wanted = self.crowd * 3 // 4
        while self.waiting < self.wanted and self.payload <= self.batch_bytes and not self.stopping and not self.failed:
            self.asleep = True
            if wait_until(&self.wake, &self.mutex, end):
                break
        self.asleep = False
        self.wanted = 0

    cdef int commit(self) noexcept nogil:
        """Make one batch of what was taken durable: COMMITTED, ROLL, END, or minus an error number."""
        cdef uint8_t *data = self.taken.data
        cdef size_t start = self.at, end = self.at, payload = 0, total, length
        cdef uint8_t last[COMMIT_BYTES]
        cdef uint8_t root[32]
        cdef uint64_t behind, one = 1
        cdef int error
        cdef bint tell
        while end < self.taken.used:
            length = get32(data + end + 4)
            if end > start and payload + length > self.batch_bytes:
                break
            payload += length
            end += FRAME_BYTES + length
        total = end - start + COMMIT_BYTES
        behind = self.begin + total
        if behind > self.segment_bytes and not self.fresh:
            return ROLL
        if not self.digest(data + start, data + end):
            return -ENOMEM
        self.root(root)
        memcpy(last, b"done", 4)
        put32(last + 4, COMMIT_BYTES - FRAME_BYTES)
        put64(last + 12, self.begin)
        put64(last + 20, self.size)
        memcpy(last + 28, root, 32)
        put32(last + 8, crc_of(crc_of(0, last, 8), last + 12, COMMIT_BYTES - FRAME_BYTES))
        error = self.write_direct(data + start, end - start, last) if self.direct >= 0 else self.write_through(
            data + start, end - start, last)
        if error:
            return -error
        self.begin, self.at, self.fresh = behind, end, False
        pthread_mutex_lock(&self.mutex)
        if self.failed:
            pthread_mutex_unlock(&self.mutex)
            return END
        if not reserve(&self.unsigned, self.hashes.used):
            pthread_mutex_unlock(&self.mutex)
            return -ENOMEM
        memcpy(self.unsigned.data + self.unsigned.used, self.hashes.data, self.hashes.used)
        self.unsigned.used += self.hashes.used
        self.committed = self.size
        memcpy(self.head, root, 32)
        self.crowd = self.taken_waiting + self.waiting
        tell = self.signal >= 0 and not self.signalled
        if tell:
            self.signalled = True
        pthread_mutex_unlock(&self.mutex)
        pthread_cond_broadcast(&self.settled)
        if tell:
            while write(self.signal, &one, 8) < 0 and errno == EINTR:
                pass
        return COMMITTED

    cdef int write_direct(self, const uint8_t *leaves, size_t length, const uint8_t *last) noexcept nogil:
        """Write whole blocks, which are durable then; 0 or an error number."""
        cdef size_t kept = self.begin % BLOCK, filled = kept + length + COMMIT_BYTES
        cdef size_t whole = (filled + BLOCK - 1) // BLOCK * BLOCK
        cdef int error
        if not self.make_stage(whole):
            return ENOMEM
        memcpy(self.stage + kept, leaves, length)
        memcpy(self.stage + kept + length, last, COMMIT_BYTES)
        memset(self.stage + filled, 0, whole - filled)
        error = write_all(self.direct, self.stage, whole, self.begin - kept)
        if not error and filled >= BLOCK:
            # what the next batch begins with
            memmove(self.stage, self.stage + filled // BLOCK * BLOCK, filled % BLOCK)
        return error

    cdef int write_through(self, const uint8_t *leaves, size_t length, const uint8_t *last) noexcept nogil:
        """Write, and flush what was written; 0 or an error number."""
        cdef int error
        if not self.make_stage(length + COMMIT_BYTES):
            return ENOMEM
        memcpy(self.stage, leaves, length)
        memcpy(self.stage + length, last, COMMIT_BYTES)
        error = write_all(self.descriptor, self.stage, length + COMMIT_BYTES, self.begin)
        if not error and fdatasync(self.descriptor):
            error = errno if errno else EIO
        return error

    cdef bint make_stage(self, size_t length) noexcept nogil:
        """Room for that many bytes, aligned; the first block is kept. False without memory."""
        cdef void *more = NULL
        if length <= self.staged:
            return True
        length = (length + 65535) // 65536 * 65536
        if posix_memalign(&more, BLOCK, length):
            return False
        if self.stage != NULL:
            memcpy(more, self.stage, BLOCK)
            free(self.stage)
        self.stage, self.staged = <uint8_t *>more, length
        return True

    cdef bint digest(self, uint8_t *place, uint8_t *end) noexcept nogil:
        """Finish the frames of the leaves and let the tree grow by them; False without memory."""
        cdef size_t length
        cdef uint8_t pair[64]
        cdef uint8_t hashed[32]
        cdef uint64_t size
        self.hashes.used = 0
        while place < end:
            length = get32(place + 4)
            put32(place + 8, crc_of(crc_of(0, place, 8), place + FRAME_BYTES, length))
            sha_of(0, place + FRAME_BYTES, length, hashed)
            if not reserve(&self.hashes, 32):
                return False
            memcpy(self.hashes.data + self.hashes.used, hashed, 32)
            self.hashes.used += 32
            size = self.size
            while size & 1:
                self.height -= 1
                memcpy(pair, self.subtrees[self.height], 32)
                memcpy(pair + 32, hashed, 32)
                sha_of(1, pair, 64, hashed)
                size >>= 1
            memcpy(self.subtrees[self.height], hashed, 32)
            self.height += 1
            self.size += 1
            place += FRAME_BYTES + length
        return True

    cdef void root(self, uint8_t *result) noexcept nogil:
        cdef uint8_t pair[64]
        cdef int i = self.height - 1
        if i < 0:
            sha_of(-1, result, 0, result)
            return
        memcpy(result, self.subtrees[i], 32)
        while i > 0:
            i -= 1
            memcpy(pair, self.subtrees[i], 32)
            memcpy(pair + 32, result, 32)
            sha_of(1, pair, 64, result)


def sha256(bytes data not None, *, bint instructions=True):
    """The digest, and whether the processor's own instructions made it."""
    cdef uint8_t digest[32]
    cdef bint native = sha_prepare(instructions)
    sha_of(-1, <const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), digest)
    sha_prepare(True)
    return PyBytes_FromStringAndSize(<char *>digest, 32), native


def crc32(bytes data not None):
    """As `zlib.crc32`."""
    return crc_of(0, <const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


crc_prepare()
sha_prepare(True)
