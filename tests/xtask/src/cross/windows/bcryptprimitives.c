/* A stand-in for bcryptprimitives.dll under Wine 8, which lacks it: the one function that Rust's standard library imports from it,
 * over the generator that advapi32 has (RtlGenRandom, by its exported name). For tests only; it is never shipped. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG bytes);

#define PIECE_MAX ((SIZE_T)1 << 20)

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T bytes)
{
    while (bytes > 0) {
        SIZE_T piece = bytes < PIECE_MAX ? bytes : PIECE_MAX;
        if (!SystemFunction036(buffer, (ULONG)piece))
            return FALSE;
        buffer += piece;
        bytes -= piece;
    }
    return TRUE;
}
