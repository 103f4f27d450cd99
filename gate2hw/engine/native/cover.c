/* Cuts of up to three leaves, chosen by area flow and then by exact area, as LUT mappers do
 * (Cong, Wu, Ding, "Cut ranking and pruning", FPGA 1999; Mishchenko et al., "Combinational and
 * sequential mapping with priority cuts", ICCAD 2007). */
#include "cover.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_CUTS = 6, MOST_CUTS_LARGE = 3, MOST_DEPTH = 8 };
static const int64_t LARGE = 4000000;

/* Loads, stores and reads of indices that an op takes. */
static float price(int n)
{
    return n == 3 ? 1.25f : 1.0f;
}

/* Constants, wires and inverters go; complements move into the functions that read them. */
static void fold(struct cover *v, const struct netlist *net)
{
    for (int64_t i = 0; i <= net->n_inputs; i++)
        v->literal[i] = (int32_t)(2 * i);
    for (int64_t g = 0; g < net->n_gates; g++) {
        const int32_t a = v->literal[net->in0[g]], b = v->literal[net->in1[g]];
        const int32_t node = (int32_t)(1 + net->n_inputs + g);
        uint8_t tt = net->tt[g];
        if (a & 1)
            tt = (uint8_t)((tt & 3) << 2 | tt >> 2);
        if (b & 1)
            tt = (uint8_t)((tt & 5) << 1 | (tt & 10) >> 1);
        if (a >> 1 == 0)
            tt = (uint8_t)((tt & 3) * 5);
        if (b >> 1 == 0)
            tt = (uint8_t)((tt & 5) * 3);
        if (a >> 1 == b >> 1)
            tt = (uint8_t)((tt & 1) * 3 | (tt >> 3) * 12);
        v->tt[g] = 0;
        v->a[g] = a >> 1;
        v->b[g] = b >> 1;
        if (tt == 0 || tt == 15)
            v->literal[node] = tt & 1;
        else if (tt == 12 || tt == 3)
            v->literal[node] = (a & ~1) | (tt & 1);
        else if (tt == 10 || tt == 5)
            v->literal[node] = (b & ~1) | (tt & 1);
        else {
            v->literal[node] = 2 * node | (tt & 1);
            v->tt[g] = tt & 1 ? tt ^ 15 : tt;
        }
    }
}

/* Readers of each node among gates that an output needs; the others lose their function. */
static void count_reads(struct cover *v, const struct netlist *net)
{
    for (int64_t o = 0; o < net->n_outputs; o++)
        v->reads[cover_literal(v, net->outputs[o]) >> 1]++;
    for (int64_t g = net->n_gates - 1; g >= 0; g--) {
        if (v->reads[1 + net->n_inputs + g] == 0)
            v->tt[g] = 0;
        if (v->tt[g]) {
            v->reads[v->a[g]]++;
            v->reads[v->b[g]]++;
        }
    }
}

/* The leaves of both, rising; the number of them, or 4 where they are more than three. */
static int join(const struct cut *x, const struct cut *y, int32_t *leaf)
{
    int n = 0, i = 0, j = 0;
    while (i < x->n || j < y->n) {
        int32_t next;
        if (n == 3)
            return 4;
        if (j == y->n || (i < x->n && x->leaf[i] <= y->leaf[j])) {
            next = x->leaf[i];
            j += j < y->n && y->leaf[j] == next;
            i++;
        } else
            next = y->leaf[j++];
        leaf[n++] = next;
    }
    return n;
}

/* The table of a cut over more leaves than its own. */
static uint8_t spread(const struct cut *cut, const int32_t *leaf, int n)
{
    static const uint8_t variable[3] = {0xf0, 0xcc, 0xaa};
    uint8_t all[3] = {0, 0, 0}, table = 0;
    for (int i = 0, j = 0; i < cut->n; i++) {
        while (j < n && leaf[j] != cut->leaf[i])
            j++;
        all[i] = variable[j];
    }
    for (int at = 0; at < 8; at++)
        if (cut->table >> at & 1)
            table |= (uint8_t)((at & 4 ? all[0] : ~all[0]) & (at & 2 ? all[1] : ~all[1]) &
                               (at & 1 ? all[2] : ~all[2]));
    return table;
}

static void keep(struct cut *cuts, uint8_t *n_cuts, int64_t most, const struct cut *cut)
{
    int64_t at = *n_cuts;
    for (int64_t i = 0; i < *n_cuts; i++)
        if (cuts[i].n == cut->n && memcmp(cuts[i].leaf, cut->leaf, sizeof cut->leaf) == 0)
            return;
    if (at == most) {
        if (cuts[most - 1].cost <= cut->cost)
            return;
        at--;
    } else
        ++*n_cuts;
    while (at > 0 && cuts[at - 1].cost > cut->cost) {
        cuts[at] = cuts[at - 1];
        at--;
    }
    cuts[at] = *cut;
}

static struct cut itself(int32_t node)
{
    const struct cut cut = {{node, 0, 0}, 1, 0xf0, 0};
    return cut;
}

static void cuts_of_gate(struct cover *v, int64_t g, int k)
{
    const int64_t first_gate = 1 + v->n_inputs;
    const int32_t fanin[2] = {v->a[g], v->b[g]};
    struct cut own[2], *cuts = v->cuts + g * v->most_cuts;
    const struct cut *list[2];
    int n_list[2];
    const uint8_t tt = v->tt[g];
    for (int i = 0; i < 2; i++) {
        own[i] = itself(fanin[i]);
        list[i] = fanin[i] < first_gate ? NULL : v->cuts + (fanin[i] - first_gate) * v->most_cuts;
        n_list[i] = k < 3 || list[i] == NULL ? 0 : v->n_cuts[fanin[i] - first_gate];
    }
    for (int i = -1; i < n_list[0]; i++)
        for (int j = -1; j < n_list[1]; j++) {
            const struct cut *x = i < 0 ? &own[0] : &list[0][i];
            const struct cut *y = j < 0 ? &own[1] : &list[1][j];
            struct cut cut = {{0, 0, 0}, 0, 0, 0};
            const int n = join(x, y, cut.leaf);
            uint8_t p, q;
            if (n > k)
                continue;
            p = spread(x, cut.leaf, n);
            q = spread(y, cut.leaf, n);
            cut.n = (uint8_t)n;
            cut.table = (uint8_t)((tt & 8 ? p & q : 0) | (tt & 4 ? p & ~q : 0) |
                                  (tt & 2 ? ~p & q : 0) | (tt & 1 ? ~p & ~q : 0));
            /* f(0, 0, 0) = 0 here, as all gates have f(0, 0) = 0 */
            cut.cost = price(n);
            for (int l = 0; l < n; l++)
                cut.cost += v->flow[cut.leaf[l]];
            keep(cuts, &v->n_cuts[g], v->most_cuts, &cut);
        }
    v->flow[first_gate + g] =
        cuts[0].cost / (float)(v->reads[first_gate + g] > 1 ? v->reads[first_gate + g] : 1);
}

/* Cost of the ops that come (or go) with a cut, whose leaves are read once more (or less); of those
 * at most `depth` deep, so that a long chain costs no more than it should. */
static float refer(struct cover *v, const struct cut *cut, int step, int depth)
{
    float cost = price(cut->n);
    for (int l = 0; l < cut->n; l++) {
        const int64_t node = cut->leaf[l], gate = node - 1 - v->n_inputs;
        const int32_t before = v->reads[node];
        v->reads[node] += step;
        if (gate >= 0 && depth > 1 && (step > 0 ? before == 0 : before == 1))
            cost += refer(v, &v->cuts[gate * v->most_cuts + v->chosen[gate]], step, depth - 1);
    }
    return cost;
}

static void choose_exactly(struct cover *v)
{
    for (int64_t g = 0; g < v->n_gates; g++) {
        struct cut *cuts = v->cuts + g * v->most_cuts;
        int best = v->chosen[g];
        float least;
        if (v->tt[g] == 0 || v->reads[1 + v->n_inputs + g] == 0 || v->n_cuts[g] < 2)
            continue;
        least = refer(v, &cuts[best], -1, MOST_DEPTH);
        for (int i = 0; i < v->n_cuts[g]; i++) {
            const float cost = refer(v, &cuts[i], 1, MOST_DEPTH);
            refer(v, &cuts[i], -1, MOST_DEPTH);
            if (cost < least) {
                least = cost;
                best = i;
            }
        }
        v->chosen[g] = (uint8_t)best;
        refer(v, &cuts[best], 1, MOST_DEPTH);
    }
}

static void reads_of_cover(struct cover *v, const struct netlist *net)
{
    memset(v->reads, 0, sizeof *v->reads * (size_t)(1 + net->n_inputs + net->n_gates));
    for (int64_t o = 0; o < net->n_outputs; o++)
        v->reads[cover_literal(v, net->outputs[o]) >> 1]++;
    for (int64_t g = net->n_gates - 1; g >= 0; g--) {
        const struct cut *cut = cover_cut(v, 1 + net->n_inputs + g);
        for (int l = 0; cut != NULL && l < cut->n; l++)
            v->reads[cut->leaf[l]]++;
    }
}

int cover_make(struct cover *v, const struct netlist *net, int32_t k)
{
    const size_t n_gates = (size_t)net->n_gates + 1, n_nodes = n_gates + (size_t)net->n_inputs + 1;
    memset(v, 0, sizeof *v);
    v->n_inputs = net->n_inputs;
    v->n_gates = net->n_gates;
    v->most_cuts = k < 3 ? 1 : net->n_gates > LARGE ? MOST_CUTS_LARGE : MOST_CUTS;
    v->literal = malloc(sizeof *v->literal * n_nodes);
    v->tt = malloc(n_gates);
    v->a = malloc(sizeof *v->a * n_gates);
    v->b = malloc(sizeof *v->b * n_gates);
    v->cuts = malloc(sizeof *v->cuts * n_gates * (size_t)v->most_cuts);
    v->n_cuts = calloc(n_gates, 1);
    v->chosen = calloc(n_gates, 1);
    v->reads = calloc(n_nodes, sizeof *v->reads);
    v->flow = calloc(n_nodes, sizeof *v->flow);
    if (!(v->literal && v->tt && v->a && v->b && v->cuts && v->n_cuts && v->chosen && v->reads &&
          v->flow))
        return 0;
    fold(v, net);
    count_reads(v, net);
    for (int64_t g = 0; g < net->n_gates; g++)
        if (v->tt[g])
            cuts_of_gate(v, g, k);
    reads_of_cover(v, net);
    for (int pass = 0; k > 2 && pass < 2; pass++) {
        choose_exactly(v);
        reads_of_cover(v, net); /* counted anew: references were followed no deeper than so far */
    }
    return 1;
}

int64_t cover_size(const struct cover *v)
{
    int64_t n = 0;
    for (int64_t g = 0; g < v->n_gates; g++)
        n += cover_cut(v, 1 + v->n_inputs + g) != NULL;
    return n;
}

void cover_free(struct cover *v)
{
    free(v->literal);
    free(v->tt);
    free(v->a);
    free(v->b);
    free(v->cuts);
    free(v->n_cuts);
    free(v->chosen);
    free(v->reads);
    free(v->flow);
}
