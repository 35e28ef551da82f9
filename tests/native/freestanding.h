// As much of a C library as the harness and the kernels use, so that one linker call makes a program for any
// emulator, and nothing must be built or installed for another architecture first. Linux, x86_64 and arm64.
#pragma once
#include <stddef.h>
#include <stdint.h>

extern "C" {

inline unsigned long *auxiliary;  // pairs: what the kernel tells a process of the CPU

unsigned long getauxval(unsigned long type) {
    for (unsigned long *pair = auxiliary; pair[0]; pair += 2) {
        if (pair[0] == type) return pair[1];
    }
    return 0;
}

void *memset(void *to, int value, size_t size) {
    for (size_t i = 0; i < size; i++) static_cast<volatile uint8_t *>(to)[i] = static_cast<uint8_t>(value);
    return to;
}

void *memcpy(void *to, const void *from, size_t size) {
    for (size_t i = 0; i < size; i++) {
        static_cast<volatile uint8_t *>(to)[i] = static_cast<const uint8_t *>(from)[i];
    }
    return to;
}

int start(long count, char **arguments);

// The stack at the start: the count of arguments, they, NULL, the environment, NULL, the auxiliary vector.
[[gnu::used]] long start_with(long *stack) {
    long *end = stack + stack[0] + 2;
    while (*end) end++;
    auxiliary = reinterpret_cast<unsigned long *>(end + 1);
    return start(stack[0], reinterpret_cast<char **>(stack + 1));
}

#if defined(__x86_64__)
__asm__(
    ".globl _start\n_start: mov %rsp, %rdi; and $-64, %rsp; call start_with;"
    "mov %rax, %rdi; mov $231, %eax; syscall");

inline void write_out(const char *text, size_t size) {
    long result = 1;  // write
    __asm__ volatile("syscall" : "+a"(result) : "D"(1L), "S"(text), "d"(size) : "rcx", "r11", "memory");
}
#elif defined(__aarch64__)
__asm__(".globl _start\n_start: mov x0, sp; bl start_with; mov x8, #94; svc #0");

inline void write_out(const char *text, size_t size) {
    register long result __asm__("x0") = 1;
    register const char *from __asm__("x1") = text;
    register size_t count __asm__("x2") = size;
    register long number __asm__("x8") = 64;
    __asm__ volatile("svc #0" : "+r"(result) : "r"(from), "r"(count), "r"(number) : "memory");
}
#endif
}
