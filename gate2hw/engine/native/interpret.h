/* Runs of ops; a run's function is decided once. INDEX is the type of a slot's number. */

static void INTERPRET(const struct plan *plan, int64_t part, V *slots)
{
#define AT(word) (V *)((uint64_t *)slots + (size_t)(word) * UNIT)
    const struct segment *const segment = &plan->segments[part];
    const INDEX *word = (const INDEX *)plan->words + segment[0].word;
    const struct run *const end = plan->runs + segment[1].run;
    for (const struct run *run = plan->runs + segment[0].run; run < end; run++) {
        int64_t n = run->n_ops;
#define OP2(function, value)                                        \
    case function:                                                  \
        for (; n > 0; n--, word += 3) {                             \
            V *const to = AT(word[0]);                              \
            const V *const p = AT(word[1]);                         \
            const V *const q = AT(word[2]);                         \
            for (int i = 0; i < PLACES; i++) {                      \
                const V a = p[i], b = q[i];                         \
                to[i] = value;                                      \
            }                                                       \
        }                                                           \
        break;
#define OP3(table)                                                  \
    case 16 + (table):                                              \
        for (; n > 0; n--, word += 4) {                             \
            V *const to = AT(word[0]);                              \
            const V *const p = AT(word[1]);                         \
            const V *const q = AT(word[2]);                         \
            const V *const r = AT(word[3]);                         \
            for (int i = 0; i < PLACES; i++)                        \
                to[i] = (V)TERNARY(p[i], q[i], r[i], table);        \
        }                                                           \
        break;
#define OP3_4(t) OP3(t) OP3((t) + 1) OP3((t) + 2) OP3((t) + 3)
#define OP3_16(t) OP3_4(t) OP3_4((t) + 4) OP3_4((t) + 8) OP3_4((t) + 12)
#define OP3_64(t) OP3_16(t) OP3_16((t) + 16) OP3_16((t) + 32) OP3_16((t) + 48)
        switch (run->function) {
            OP2(1, ~(a | b))
            OP2(2, ~a & b)
            OP2(4, a & ~b)
            OP2(6, a ^ b)
            OP2(7, ~(a & b))
            OP2(8, a & b)
            OP2(9, ~(a ^ b))
            OP2(11, ~a | b)
            OP2(13, a | ~b)
            OP2(14, a | b)
#ifdef TERNARY
            OP3_64(0)
            OP3_64(64)
            OP3_64(128)
            OP3_64(192)
#endif
        }
#undef AT
#undef OP2
#undef OP3
#undef OP3_4
#undef OP3_16
#undef OP3_64
    }
}
#undef INDEX
#undef UNIT
#undef INTERPRET
