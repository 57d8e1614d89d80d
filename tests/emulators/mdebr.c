/* Whether an emulator of s390x multiplies two floats to a double: 3 · 5. QEMU before 8.1 says 160, because it takes the
   first factor for a double. That instruction makes the emulated fma's exact product.

       s390x-linux-gnu-gcc -static mdebr.c && qemu-s390x ./a.out */
#include <stdio.h>

int main(void) {
    double product;
    float x = 3, y = 5;
    __asm__("ler %0,%1\n\tmdebr %0,%2" : "=&f"(product) : "f"(x), "f"(y));
    printf("%g\n", product);
    return product != 15;
}
