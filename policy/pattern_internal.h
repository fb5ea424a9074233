/* The program that an expression becomes: shared by its compiler
 * (pattern_compile.c) and its matcher (pattern.c). */
#ifndef CERTVAULT_POLICY_PATTERN_INTERNAL_H
#define CERTVAULT_POLICY_PATTERN_INTERNAL_H

#include "policy/pattern.h"

#define CV_PATTERN_CLASSES 64

enum cv_pattern_op {
    CV_PATTERN_CHAR,  /* one byte: `c` */
    CV_PATTERN_ANY,   /* any byte */
    CV_PATTERN_CLASS, /* a byte of class `c` */
    CV_PATTERN_SPLIT, /* go on at both `x` and `y` */
    CV_PATTERN_JUMP,  /* go on at `x` */
    CV_PATTERN_BEGIN, /* only where the text begins */
    CV_PATTERN_END,   /* only where the text ends */
    CV_PATTERN_DONE
};

/* `x` and `y` are distances from this instruction, so that a stretch of code
 * can be copied and moved as it is. */
struct cv_pattern_step {
    uint8_t op;
    uint8_t c;
    int16_t x;
    int16_t y;
};

struct cv_pattern {
    size_t n;
    uint8_t (*classes)[32]; /* a bit for each byte */
    struct cv_pattern_step steps[];
};

#endif
