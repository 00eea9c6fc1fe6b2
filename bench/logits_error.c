/* The normalized mean squared error of one list of numbers against another, sum (a - b)^2 / sum
 * b^2: what bench/logits-against-peer judges by, which builds and runs it.
 *
 * usage: logits_error OURS.f32 THEIRS.f32     files of little-endian floats
 *        logits_error -t OURS THEIRS          numbers as text
 *
 * Prints the error; ends with 1, and says both counts, where one list is longer. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool next(FILE *file, bool text, float *out) {
    return text ? fscanf(file, "%f", out) == 1 : fread(out, sizeof *out, 1, file) == 1;
}

int main(int argc, char **argv) {
    bool text = argc > 1 && strcmp(argv[1], "-t") == 0;
    if (argc != 3 + text) {
        fprintf(stderr, "usage: logits_error [-t] OURS THEIRS\n");
        return 2;
    }
    FILE *ours = fopen(argv[1 + text], "rb"), *theirs = fopen(argv[2 + text], "rb");
    if (ours == NULL || theirs == NULL) {
        fprintf(stderr, "logits_error: cannot read %s\n", argv[(ours ? 2 : 1) + text]);
        return 1;
    }
    double difference = 0.0, size = 0.0;
    size_t our_count = 0, their_count = 0;
    for (bool more = true; more;) {
        float a = 0.0f, b = 0.0f;
        bool has_a = next(ours, text, &a), has_b = next(theirs, text, &b);
        our_count += has_a;
        their_count += has_b;
        float off = a - b;
        difference += (double)off * off;
        size += (double)b * b;
        more = has_a || has_b;
    }
    fclose(ours);
    fclose(theirs);
    if (our_count != their_count || our_count == 0) {
        fprintf(stderr, "logits_error: %zu numbers, %zu expected\n", our_count, their_count);
        return 1;
    }
    printf("%.9e\n", difference / size);
    return 0;
}
