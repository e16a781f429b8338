#!/bin/bash
#PBS -N m7f3a
#PBS -J 0-1
#PBS -S /bin/bash
#PBS -j oe
#PBS -o "/home/a \"b\"/log.^array_index^"
#PBS -l select=1:ncpus=2
exit 0
