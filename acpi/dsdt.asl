// SPDX-License-Identifier: Apache-2.0
/*
 * The DSDT of a lacuna machine (ACPI 6.5, 5.2.11.1). What differs from VM to VM comes as integers
 * from the SSDT that src/boot/acpi.c writes, so this table is the same for all.
 */
#include <abi/layout.h>

DefinitionBlock ("dsdt.aml", "DSDT", 2, "LACUNA", "LACUNAVM", 0x00000001)
{
    External (\LBUS, IntObj) // last PCI bus, 0 to 255
    External (\LECM, IntObj) // _STA of the ECAM window's reservation
    External (\LSER, IntObj) // _STA of COM1
    External (\LM6B, IntObj) // 64-bit PCI memory window: base
    External (\LM6S, IntObj) // and size, 0: none

    // 7.4.2.6 and 4.8.3.7: what OSPM writes to bits 2 to 4 of the sleep control register
    Name (\_S5, Package () { LAYOUT_SLEEP_TYPE_S5, Zero, Zero, Zero })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_SEG, Zero)
            Name (_BBN, Zero)

            // No I/O window: there is no I/O BAR. The ECAM window must stay outside, see MRES.
            Name (CRSB, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0x0000, 0x0000, 0x00FF, 0x0000, 0x0100, , , BUSN)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0x00000000, LAYOUT_PCI32_BASE, LAYOUT_PCI32_LAST, 0x00000000, LAYOUT_PCI32_SIZE)
            })
            Name (CRS6, ResourceTemplate ()
            {
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0x0000000000000000, 0x0000000000000000, 0x0000000000000000, 0x0000000000000000,
                    0x0000000000000001, , , MEM6)
            })
            Method (_CRS, 0, Serialized)
            {
                CreateWordField (CRSB, ^BUSN._MAX, BMAX)
                CreateWordField (CRSB, ^BUSN._LEN, BLEN)
                BMAX = LBUS
                BLEN = LBUS + 1
                If (LM6S == 0)
                {
                    Return (CRSB)
                }
                CreateQWordField (CRS6, ^MEM6._MIN, MMIN)
                CreateQWordField (CRS6, ^MEM6._MAX, MMAX)
                CreateQWordField (CRS6, ^MEM6._LEN, MLEN)
                MMIN = LM6B
                MMAX = LM6B + LM6S - 1
                MLEN = LM6S
                Return (ConcatenateResTemplate (CRSB, CRS6))
            }

            // PCI Firmware 3.3, 4.5: no firmware here ever touches PCIe features, so OSPM gets
            // whatever it asks for, but for power management events: the ports have no interrupt
            // to tell of one.
            Method (_OSC, 4, Serialized)
            {
                CreateDWordField (Arg3, 0, CDW1)
                If (Arg0 != ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766"))
                {
                    CDW1 |= 0x04 // unrecognized UUID
                }
                ElseIf (Arg1 != 1)
                {
                    CDW1 |= 0x08 // unrecognized revision
                }
                Else
                {
                    CreateDWordField (Arg3, 8, CDW3)
                    If (CDW3 & 0x04)
                    {
                        CDW3 &= ~0x04
                        CDW1 |= 0x10 // capabilities masked
                    }
                }
                Return (Arg3)
            }

            Method (_DSM, 4, Serialized)
            {
                If (Arg0 == ToUUID ("E5C937D0-3553-4D7A-9117-EA4D19C3434D"))
                {
                    If (Arg2 == 0)
                    {
                        Return (Buffer () { 0x21 }) // functions 0 and 5
                    }
                    // PCI Firmware 3.3, 4.6.5: keep the BARs as they are; moving them costs
                    // config writes
                    If (Arg2 == 5)
                    {
                        Return (Zero)
                    }
                }
                Return (Buffer () { 0x00 })
            }
        }

        // PCI Firmware 3.3, 4.1.2: a motherboard device claims MCFG's window; without, Linux does
        // not use it
        Device (MRES)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, Zero)
            Name (CRSB, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, LAYOUT_ECAM_BASE, LAYOUT_ECAM_MAX_SIZE, ECAM)
            })
            Method (_STA, 0, NotSerialized)
            {
                Return (LECM)
            }
            Method (_CRS, 0, Serialized)
            {
                CreateDWordField (CRSB, ^ECAM._LEN, ELEN)
                ELEN = (LBUS + 1) * LAYOUT_ECAM_BUS_SIZE
                Return (CRSB)
            }
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, One)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, LAYOUT_PORT_SERIAL, LAYOUT_PORT_SERIAL, 0x01, 0x08)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { LAYOUT_GSI_SERIAL }
            })
            Method (_STA, 0, NotSerialized)
            {
                Return (LSER)
            }
        }

        Device (PWRB)
        {
            Name (_HID, EisaId ("PNP0C0C"))
            Name (_UID, Zero)
        }

        // 5.6.9: one edge interrupt, and a byte that says what happened; a bit written clears it
        Device (GED0)
        {
            Name (_HID, "ACPI0013")
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { LAYOUT_GSI_GED }
            })
            OperationRegion (EVTR, SystemIO, LAYOUT_PORT_GED, 0x01)
            Field (EVTR, ByteAcc, NoLock, WriteAsZeros)
            {
                EVTS, 8
            }
            Method (_EVT, 1, Serialized)
            {
                Local0 = EVTS
                EVTS = Local0
                If (Local0 & LAYOUT_GED_POWER_BUTTON)
                {
                    Notify (PWRB, 0x80)
                }
            }
        }
    }
}
