/* One pass over the text of an entry: which parts of credentials' names and forms does it hold?
 *
 * Optional: prefilter.py has the same function for a package that was installed without a compiler.
 * The pass is a shift-and search: each bit of a state stands for one character of one part, and is
 * set while that part's characters up to it were the last ones read. It holds the interpreter's
 * lock, as everything that handles an entry must: daemon threads log while the interpreter ends.
 */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define WORD_BITS 64

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* The parts and the flags are those of prefilter.py: one for a null, one for each part, whatever
 * its case ... */
static const char *const PARTS[] = {
    "---",   "aiza",  "akia", "auth", "basic", "beare", "cook",   "cred",   "eyj", "gho_",
    "ghp_",  "ghr_",  "ghs_", "ghu_", "glpat", "hub_p", "k_live", "k_test", "key", "pass",
    "pwd",   "secr",  "sess", "sid",  "sig=",  "sk-",   "token",  "xox",
};
/* ... and one for both of these, as a URL with a password has; addresses of mail are common. */
static const char *const SCHEME = "://", *const AT = "@";
#define HAS_NULL 1L
#define HAS_PART(number) (2L << (number))
#define HAS_USER_INFO HAS_PART(COUNT(PARTS))

typedef struct {
    uint64_t low, high;
} Bits;

static Bits of_character[256], first;
static Bits last_of_part[COUNT(PARTS)], last_of_parts, last_of_scheme, last_of_at, last_of_null;

static void set_bit(Bits *bits, int number)
{
    if (number < WORD_BITS)
        bits->low |= UINT64_C(1) << number;
    else
        bits->high |= UINT64_C(1) << (number - WORD_BITS);
}

/* Give each character of a part a bit, from `next` on; return the next free one, or -1. */
static int add_part(const char *part, Bits *last, int next)
{
    int length = (int)strlen(part);
    if (next < WORD_BITS && next + length > WORD_BITS)
        next = WORD_BITS; /* a part lies within one word: no bit is carried to the other */
    if (next < 0 || next + length > 2 * WORD_BITS)
        return -1;
    set_bit(&first, next);
    for (int i = 0; i < length; i++, next++) {
        unsigned char character = (unsigned char)part[i];
        set_bit(&of_character[character], next);
        if (character >= 'a' && character <= 'z')
            set_bit(&of_character[character - 'a' + 'A'], next);
    }
    set_bit(last, next - 1);
    return next;
}

static void read_text(const char *text, Py_ssize_t length, Bits *state, Bits *seen)
{
    Bits now = *state, all = *seen;
    const Bits begin = first;
    for (Py_ssize_t i = 0; i < length; i++) {
        const Bits *here = &of_character[(unsigned char)text[i]];
        now.low = ((now.low << 1) | begin.low) & here->low;
        now.high = ((now.high << 1) | begin.high) & here->high;
        all.low |= now.low;
        all.high |= now.high;
    }
    *state = now;
    *seen = all;
}

static int holds(Bits seen, Bits last)
{
    return (seen.low & last.low) != 0 || (seen.high & last.high) != 0;
}

static PyObject *scan(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    Bits state = {0, 0}, seen = {0, 0};
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "scan() takes a message and two JSON texts");
        return NULL;
    }
    Py_ssize_t length;
    const char *message = PyUnicode_AsUTF8AndSize(arguments[0], &length);
    if (message == NULL)
        return NULL;
    read_text(message, length, &state, &seen);
    for (int i = 1; i < 3; i++) {
        char *text;
        if (PyBytes_AsStringAndSize(arguments[i], &text, &length) < 0)
            return NULL;
        read_text(text, length, &state, &seen);
    }
    long found = holds(seen, last_of_null) ? HAS_NULL : 0;
    if (holds(seen, last_of_parts))
        for (int number = 0; number < COUNT(PARTS); number++)
            if (holds(seen, last_of_part[number]))
                found |= HAS_PART(number);
    if (holds(seen, last_of_scheme) && holds(seen, last_of_at))
        found |= HAS_USER_INFO;
    return PyLong_FromLong(found);
}

static PyMethodDef methods[] = {
    {"scan", (PyCFunction)(void (*)(void))scan, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "prefilter_scan", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_prefilter_scan(void)
{
    int next = 0;
    for (int number = 0; number < COUNT(PARTS); number++) {
        next = add_part(PARTS[number], &last_of_part[number], next);
        last_of_parts.low |= last_of_part[number].low;
        last_of_parts.high |= last_of_part[number].high;
    }
    next = add_part(SCHEME, &last_of_scheme, next);
    next = add_part(AT, &last_of_at, next);
    if (add_part("null", &last_of_null, next) < 0) {
        PyErr_SetString(PyExc_ImportError, "prefilter_scan: more parts than two words have bits");
        return NULL;
    }
    return PyModule_Create(&definition);
}
